import Foundation
import Latchkey

func undoPhoneChange() async throws {
    // example
    let api = API(base: URL(string: "http://127.0.0.1:3000")!)
    var body = SubmitRequest()
    body.phoneNumber = "+9779841234567"
    body.otp = "042917"
    _ = try await api.call(.undoPhoneChange, body)
    // end
}
