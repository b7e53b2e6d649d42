package latchkey.documents

import latchkey.Operation
import latchkey.Session
import latchkey.ValidateRequest

suspend fun validatePhoneOtp(session: Session) {
    // example
    // The session of the app: see its guide.
    val answer = session.call(
        Operation.validatePhoneOtp,
        ValidateRequest(
            phoneNumber = "+9779841234567",
            otp = "042917",
            username = "sita"
        )
    )
    println(answer.message)
    // end
}
