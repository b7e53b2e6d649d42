package latchkey.documents

import latchkey.Operation
import latchkey.SendPhoneRequest
import latchkey.Session

suspend fun sendPhoneOtp(session: Session) {
    // example
    // The session of the app: see its guide.
    val answer = session.call(
        Operation.sendPhoneOtp,
        SendPhoneRequest(phoneNumber = "+9779841234599", change = true)
    )
    println(answer.resendIn)
    // end
}
