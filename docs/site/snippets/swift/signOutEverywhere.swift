import Foundation
import Latchkey

func signOutEverywhere(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    try await session.signOutEverywhere()
    // end
}
