import Foundation
import Latchkey

func submitOtp() async throws {
    // example
    let api = API(base: URL(string: "http://127.0.0.1:3000")!)
    var body = SubmitRequest()
    body.phoneNumber = "+9779841234567"
    body.otp = "042917"
    body.challengeId = "chl_01jd8x4n5t2qvzk7w3m9hpa6rc"
    body.deviceName = "Pixel 9"
    let answer = try await api.call(
        .submitOtp,
        body,
        idempotencyKey: "5f0c3a52-7d0e-4f0e-9a37-1f0b7c1f7a11"
    )
    print(answer.user.userId)
    // end
}
