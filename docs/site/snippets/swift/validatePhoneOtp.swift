import Foundation
import Latchkey

func validatePhoneOtp(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    let answer = try await session.call(
        .validatePhoneOtp,
        ValidateRequest(
            phoneNumber: "+9779841234567",
            otp: "042917",
            username: "sita"
        )
    )
    print(answer.message)
    // end
}
