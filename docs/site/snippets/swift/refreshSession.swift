import Foundation
import Latchkey

func refreshSession(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    try await session.refresh()
    // end
}
