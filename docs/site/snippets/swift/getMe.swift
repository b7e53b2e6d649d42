import Foundation
import Latchkey

func getMe(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    let answer = try await session.call(.getMe)
    print(answer.phoneNumber ?? "")
    // end
}
