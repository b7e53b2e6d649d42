package latchkey.documents

import latchkey.Api
import latchkey.Operation
import latchkey.SubmitOptions
import latchkey.SubmitRequest

suspend fun submitOtp() {
    // example
    val api = Api("http://127.0.0.1:3000")
    val answer = api.call(
        Operation.submitOtp,
        SubmitRequest.ofCode(
            phoneNumber = "+9779841234567",
            otp = "042917",
            challengeId = "chl_01jd8x4n5t2qvzk7w3m9hpa6rc",
            options = SubmitOptions(deviceName = "Pixel 9")
        ),
        idempotencyKey = "5f0c3a52-7d0e-4f0e-9a37-1f0b7c1f7a11"
    )
    println(answer.user.userId)
    // end
}
