package latchkey.documents

import latchkey.Api
import latchkey.Operation
import latchkey.SubmitRequest

suspend fun undoPhoneChange() {
    // example
    val api = Api("http://127.0.0.1:3000")
    api.call(
        Operation.undoPhoneChange,
        SubmitRequest.ofCode(
            phoneNumber = "+9779841234567",
            otp = "042917"
        )
    )
    // end
}
