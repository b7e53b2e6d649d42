import Foundation
import Latchkey

func putFcmToken(session: Session) async throws {
    // example
    // The session of the app: see its guide.
    let answer = try await session.call(
        .putFcmToken,
        FcmTokenRequest(fcmToken: "dGhpcyBpcyBhIHNhbXBsZQ:APA91bSample")
    )
    print(answer.fcmTokenAt)
    // end
}
