import Foundation
import Latchkey

func listSessions(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    let answer = try await session.call(.listSessions)
    print(answer.sessions.count)
    // end
}
