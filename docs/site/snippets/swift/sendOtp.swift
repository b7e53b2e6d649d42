import Foundation
import Latchkey

func sendOtp() async throws {
    // example
    let api = API(base: URL(string: "http://127.0.0.1:3000")!)
    let answer = try await api.call(.sendOtp, SendRequest(phoneNumber: "+9779841234567"))
    print(answer.resendIn)
    // end
}
