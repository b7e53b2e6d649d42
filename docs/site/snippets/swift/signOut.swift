import Foundation
import Latchkey

func signOut(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    try await session.signOut()
    // end
}
