package latchkey.documents

import latchkey.Api
import latchkey.Operation
import latchkey.SendRequest

suspend fun sendOtp() {
    // example
    val api = Api("http://127.0.0.1:3000")
    val answer = api.call(
        Operation.sendOtp,
        SendRequest(phoneNumber = "+9779841234567")
    )
    println(answer.resendIn)
    // end
}
