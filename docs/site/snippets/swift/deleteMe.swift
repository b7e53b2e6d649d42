import Foundation
import Latchkey

func deleteMe(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    _ = try await session.call(.deleteMe)
    // end
}
