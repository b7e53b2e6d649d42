import Foundation
import Latchkey

func patchMe(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    let answer = try await session.call(
        .patchMe,
        PatchMeRequest(username: .to("sita.sharma"))
    )
    print(answer.username ?? "")
    // end
}
