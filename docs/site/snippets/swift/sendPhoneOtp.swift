import Foundation
import Latchkey

func sendPhoneOtp(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    let answer = try await session.call(
        .sendPhoneOtp,
        SendPhoneRequest(phoneNumber: "+9779841234599", change: true)
    )
    print(answer.resendIn)
    // end
}
