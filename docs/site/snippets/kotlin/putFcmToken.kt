package latchkey.documents

import latchkey.FcmTokenRequest
import latchkey.Operation
import latchkey.Session

suspend fun putFcmToken(session: Session) {
    // example
    // The session of the app: see its guide.
    val answer = session.call(
        Operation.putFcmToken,
        FcmTokenRequest(
            fcmToken = "dGhpcyBpcyBhIHNhbXBsZQ:APA91bSample"
        )
    )
    println(answer.fcmTokenAt)
    // end
}
