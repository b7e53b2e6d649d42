import Foundation
import Latchkey

func revokeSession(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    _ = try await session.call(.revokeSession("ses_01jd8x4n7c3trwb5y8q2kfd9gm"))
    // end
}
