import Foundation
import Latchkey

func cancelPhoneChange(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    _ = try await session.call(.cancelPhoneChange)
    // end
}
