// The session of a signed-in person: it keeps the tokens, refreshes them once for all, and ends when the server says so.

import Foundation

public enum SessionEvent: Sendable {
    case signedIn
    case refreshed
    /// `signed_out` if the person signed out. Otherwise the code with which the server ended the session.
    case signedOut(ProblemCode)
}

/// What the access token says of the person. The server signed it; the client does not check that.
public struct Claims: Decodable, Sendable {
    /// The user id.
    public let sub: String
    /// The session id.
    public let sid: String
    public let org: String
    public let roles: [String: [String]]
    /// Whether the token was issued for a code.
    public let fresh: Bool
}

private struct Kept: Codable, Unprinted {
    let tokenType: String
    let accessToken: String
    let refreshToken: String
    let refreshAt: Date

    var token: AccessToken { AccessToken(type: tokenType, text: accessToken) }
}

/// The claim that binds a refresh token to a key.
private struct Binding: Decodable {
    struct Confirmation: Decodable {
        let jkt: String
    }

    let cnf: Confirmation?
}

/// An app has one session, for as long as it runs: two that share a store would refresh without each other.
public actor Session {
    public nonisolated let api: API
    /// What happens from now on. One loop reads it.
    public nonisolated let events: AsyncStream<SessionEvent>
    private let told: AsyncStream<SessionEvent>.Continuation
    private let store: Store
    private let origins: Set<String>
    private var kept: Kept?
    private var isLoaded = false
    private var refreshing: Task<Void, Error>?

    /// A token is refreshed this many seconds before it expires, so that it does not expire on its way.
    private static let early: TimeInterval = 30
    /// These answers to a refresh end the session. All others say nothing about it.
    private static let ends: Set<ProblemCode> = [
        .tokenInvalid, .tokenExpired, .sessionRevoked, .refreshReused, .noSuchUser, .notAMember, .accountBlocked,
    ]
    /// After these answers to another request, a refresh tells whether the session has ended.
    private static let stale: Set<ProblemCode> = [.tokenExpired, .tokenInvalid, .sessionRevoked, .noSuchUser]

    /// Opens the session that this device keeps, or one in which nobody is signed in yet.
    ///
    /// - Parameters:
    ///   - api: the base URL of Latchkey.
    ///   - origins: other origins whose requests get the access token, such as `https://api.example.com`.
    public init(api: URL, origins: [URL] = [], store: Store = KeychainStore()) {
        self.store = store
        self.api = API(base: api) { try SecureEnclaveKey.findOrMake(in: store) }
        self.origins = Set((origins + [api]).compactMap(Self.origin))
        (events, told) = AsyncStream.makeStream(of: SessionEvent.self, bufferingPolicy: .bufferingNewest(64))
    }

    public var isSignedIn: Bool { current != nil }

    /// `nil` if nobody is signed in.
    public var claims: Claims? { current.flatMap { try? decoded(Claims.self, of: $0.accessToken) } }

    /// Calls an operation of Latchkey as the person who is signed in.
    public func call<Answer>(_ call: Call<Nothing, Answer>) async throws -> Answer {
        try await self.call(call, Nothing())
    }

    /// Calls an operation of Latchkey as the person who is signed in. Throws a `Problem`, also if nobody is.
    public func call<Body, Answer>(_ call: Call<Body, Answer>, _ body: Body) async throws -> Answer {
        let used = try await valid()
        do {
            return try await api.call(call, body, token: used.token)
        } catch let problem as Problem where Self.stale.contains(problem.code) {
            return try await api.call(call, body, token: try await renewed(used).token)
        }
    }

    /// Sends a request with the access token. Refreshes the token if it is about to expire, and once if the server does not
    /// accept it. Throws `URLError(.badURL)` for an origin that must not get the token, and sends nothing there.
    public func data(for request: URLRequest) async throws -> (Data, HTTPURLResponse) {
        guard let url = request.url, let origin = Self.origin(url), origins.contains(origin) else { throw URLError(.badURL) }
        let used = try await valid()
        let (data, response) = try await api.send(try await authorized(request, used))
        guard Self.isStale(response, data) else { return (data, response) }
        // If the proof was refused and not the token, the next one has this server's time. It may be no time for another server.
        let ahead = API.clockAhead(of: response)
        return try await api.send(try await authorized(request, try await renewed(used), ahead: ahead))
    }

    /// Exchanges the tokens for new ones. Calls at the same time share one request.
    public func refresh() async throws {
        guard let current else { throw Problem(.signedOut) }
        _ = try await renewed(current)
    }

    /// Takes the tokens of a sign-in over. If somebody was signed in here, their earlier session ends: otherwise it would stay
    /// in the list of devices. Throws a `Problem` for tokens that cannot be read, and changes nothing then.
    public func signIn(_ signedIn: SignedIn) async throws {
        let earlier = current
        try keep(signedIn.tokenType, signedIn.accessToken, signedIn.expiresIn, signedIn.refreshToken)
        told.yield(.signedIn)
        // The person is signed in, whatever becomes of it.
        if let earlier { try? await end(earlier) }
    }

    /// Ends a session of which nobody here knows any more. It may have been another person's.
    private func end(_ earlier: Kept) async throws {
        var token = earlier.token
        if earlier.refreshAt < Date() {
            let new = try await api.call(.refreshSession, RefreshRequest(refreshToken: earlier.refreshToken))
            token = AccessToken(type: new.tokenType, text: new.accessToken)
        }
        _ = try await api.call(.signOut, token: token)
    }

    /// Signs out this device. It keeps its key, so that it stays known. The tokens are gone in any case. Throws if the server
    /// could not be told: then the session stays in the list of devices until it expires.
    public func signOut() async throws {
        guard let sid = claims?.sid else { return }
        do {
            _ = try await call(.signOut)
        } catch {
            // If the server ended the session first, or somebody else signed in, this is what the person wants.
            guard claims?.sid == sid else { return }
            try signedOut(sid)
            throw error
        }
        try signedOut(sid)
    }

    /// Signs out all devices. Throws if the server could not be told: then everybody is still signed in.
    public func signOutEverywhere() async throws {
        let sid = claims?.sid
        _ = try await call(.signOutEverywhere)
        try signedOut(sid)
    }

    /// For a sign-in whose key does not sign: whether it has another one now. While somebody is signed in, their key stays.
    func replaceKey() -> Bool {
        current == nil && (try? SecureEnclaveKey.make(in: store)) != nil
    }

    /// iOS may start an app before the device was unlocked for the first time. The Keychain cannot be read then, and that does
    /// not mean that nobody is signed in.
    private var current: Kept? {
        guard !isLoaded, let data = try? store.get("tokens") else { return kept }
        let found = try? JSONDecoder().decode(Kept.self, from: data)
        let isBound = found.flatMap { try? decoded(Binding.self, of: $0.refreshToken) }?.cnf != nil
        do {
            // Bound tokens without their key are of no use.
            kept = try isBound && SecureEnclaveKey.find(in: store) == nil ? nil : found
            isLoaded = true
        } catch {
            // The key cannot be read now. The next call asks again.
        }
        return kept
    }

    private func valid() async throws -> Kept {
        guard let current else { throw Problem(.signedOut) }
        return try await current.refreshAt < Date() ? renewed(current) : current
    }

    /// What is kept after a refresh. A request of one person is never sent as another one.
    private func renewed(_ old: Kept) async throws -> Kept {
        try await refresh(old)
        let person = try? decoded(Claims.self, of: old.accessToken).sub
        guard let kept, claims?.sub == person else { throw Problem(.signedOut) }
        return kept
    }

    /// Unless there is another session by now.
    private func signedOut(_ sid: String?) throws {
        if claims?.sid == sid { try forget(.signedOut) }
    }

    /// One refresh for all who wait. It goes on when the one who asked for it is cancelled: its answer must not be lost.
    private func refresh(_ old: Kept) async throws {
        if let refreshing { return try await refreshing.value }
        guard kept?.accessToken == old.accessToken else { return }
        let task = Task { try await rotate(old) }
        refreshing = task
        defer { refreshing = nil }
        try await task.value
    }

    private func rotate(_ old: Kept) async throws {
        let isStillOld = { self.kept?.accessToken == old.accessToken }
        do {
            let new = try await api.call(.refreshSession, RefreshRequest(refreshToken: old.refreshToken))
            // A sign-in or a sign-out may have been first.
            guard isStillOld() else { return }
            try keep(new.tokenType, new.accessToken, new.expiresIn, new.refreshToken)
            told.yield(.refreshed)
        } catch let problem as Problem {
            // After a sign-in or a sign-out, it says nothing of what is kept.
            guard isStillOld() else { return }
            // If the Keychain fails, the next start finds the tokens, and learns the same of them.
            if Self.ends.contains(problem.code) { try? forget(problem.code) }
            throw problem
        }
    }

    private func keep(_ type: String, _ accessToken: String, _ expiresIn: Int, _ refreshToken: String) throws {
        // Tokens that cannot be read are never kept.
        _ = try decoded(Claims.self, of: accessToken)
        _ = try decoded(Binding.self, of: refreshToken)
        // A short-lived token must not be refreshed at each request.
        let lifetime = TimeInterval(expiresIn)
        let refreshAt = Date().addingTimeInterval(lifetime - min(Self.early, lifetime / 2))
        let new = Kept(tokenType: type, accessToken: accessToken, refreshToken: refreshToken, refreshAt: refreshAt)
        kept = new
        isLoaded = true
        // If the Keychain fails, the session goes on in memory. A bound token that is still kept works once more.
        if let data = try? JSONEncoder().encode(new) { try? store.put("tokens", data) }
    }

    private func forget(_ reason: ProblemCode) throws {
        guard kept != nil else { return }
        kept = nil
        told.yield(.signedOut(reason))
        try store.remove("tokens")
    }

    private func authorized(_ request: URLRequest, _ kept: Kept, ahead: TimeInterval? = nil) async throws -> URLRequest {
        var request = request
        request.setValue("\(kept.tokenType) \(kept.accessToken)", forHTTPHeaderField: "Authorization")
        guard kept.tokenType == "DPoP" else { return request }
        return try await api.proving(request, accessToken: kept.accessToken, ahead: ahead)
    }

    private static func origin(_ url: URL) -> String? {
        guard let scheme = url.scheme?.lowercased(), let host = url.host?.lowercased() else { return nil }
        return "\(scheme)://\(host):\(url.port ?? (scheme == "https" ? 443 : 80))"
    }

    /// Whether a refusal may be due to the token. Latchkey names the reason. Its authorizer in front of other routes cannot:
    /// API Gateway then answers 403 with a `message` of its own.
    private static func isStale(_ response: HTTPURLResponse, _ data: Data) -> Bool {
        guard response.statusCode == 401 || response.statusCode == 403 else { return false }
        let members = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] ?? [:]
        if let stated = members["code"] {
            guard let text = stated as? String else { return false }
            let code = ProblemCode(rawValue: text)
            return code == .invalidDpopProof || stale.contains(code)
        }
        if response.statusCode == 401 {
            return response.value(forHTTPHeaderField: "www-authenticate")?.contains("invalid_token") ?? false
        }
        return members["message"] as? String == "Forbidden" || members["Message"] != nil
    }
}
