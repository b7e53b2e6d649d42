package latchkey.documents

import latchkey.Operation
import latchkey.Session

suspend fun getMe(session: Session) {
    // example
    // The session of the app: see its guide.
    val answer = session.call(Operation.getMe)
    println(answer.phoneNumber)
    // end
}
