import Foundation
import Latchkey

func approveSignIn(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    _ = try await session.call(
        .approveSignIn,
        ApprovalRequest(challengeId: "chl_01jd8x4n5t2qvzk7w3m9hpa6rc")
    )
    // end
}
