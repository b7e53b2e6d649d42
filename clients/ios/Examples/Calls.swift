import Foundation
import Latchkey

func calls(session: Session) async throws {
    let devices = try await session.call(.listSessions).sessions
    let me = try await session.call(.patchMe, PatchMeRequest(name: .to("Sita Sharma")))
    // Your own API, with the access token.
    let (orders, _) = try await session.data(for: URLRequest(url: URL(string: "https://api.example.com/orders")!))
    print(devices.count, me.name != nil, orders.count)
}

func follow(session: Session, showSignIn: @escaping @MainActor (ProblemCode) -> Void) {
    Task {
        for await event in session.events {
            if case .signedOut(let reason) = event { await showSignIn(reason) }
        }
    }
}

func rename(session: Session, to username: String) async -> String? {
    do {
        _ = try await session.call(.patchMe, PatchMeRequest(username: .to(username)))
        return nil
    } catch let problem as Problem {
        switch problem.code {
        case .freshTokenRequired: return "Sign in again with a code first"
        case .noAnswer, .timedOut: return "Are you online?"
        default: return problem.retryAfter.map { "Try again in \($0) s" } ?? problem.localizedDescription
        }
    } catch {
        return error.localizedDescription
    }
}
