// A typed call for each operation, with its timeout, its repetitions and its proof.

import Foundation

/// How to send an access token.
public struct AccessToken: Sendable, Unprinted {
    /// `token_type` of the response that had the token.
    public let type: String
    public let text: String
}

/// Calls the operations of Latchkey. An app that has a `Session` calls them there.
public actor API {
    public nonisolated let base: URL
    private let urlSession: URLSession
    private let timeout: TimeInterval
    private let key: @Sendable () throws -> DeviceKey?
    /// How far the server's clock is ahead of this device's, which may be wrong.
    private(set) var ahead: TimeInterval = 0

    private static let repetitions = 2
    /// Seconds. A longer wait is for a person to decide.
    private static let longestWait = 10

    /// - Parameters:
    ///   - timeout: how many seconds the server may say nothing.
    ///   - key: the device's key. Each request then has a proof. If it throws, the request goes without one.
    public init(
        base: URL,
        urlSession: URLSession = URLSession(configuration: .ephemeral),
        timeout: TimeInterval = 15,
        key: @escaping @Sendable () throws -> DeviceKey? = { nil }
    ) {
        self.base = base
        self.urlSession = urlSession
        self.timeout = timeout
        self.key = key
    }

    /// Throws a `Problem` for each answer that is no success, and if there is none.
    public func call<Answer>(_ call: Call<Nothing, Answer>, token: AccessToken? = nil) async throws -> Answer {
        try await self.call(call, Nothing(), token: token)
    }

    /// Throws a `Problem` for each answer that is no success, and if there is none.
    ///
    /// - Parameter idempotencyKey: for a submit: another value for each sign-in, the same one for its repetition.
    public func call<Body, Answer>(
        _ call: Call<Body, Answer>,
        _ body: Body,
        token: AccessToken? = nil,
        idempotencyKey: String? = nil
    ) async throws -> Answer {
        var attempt = 0
        while true {
            do {
                return try await self.attempt(call, body, token, idempotencyKey)
            } catch let problem as Problem {
                guard attempt < Self.repetitions, let seconds = wait(after: problem, call, attempt) else { throw problem }
                try await Task.sleep(nanoseconds: UInt64(seconds * 1_000_000_000))
                attempt += 1
            }
        }
    }

    /// The request with a proof, if there is a key. Another server's clock may be ahead otherwise.
    func proving(_ request: URLRequest, accessToken: String?, ahead other: TimeInterval? = nil) throws -> URLRequest {
        guard let url = request.url, let method = request.httpMethod, let key = try? self.key() else { return request }
        let now = Date().addingTimeInterval(other ?? ahead)
        guard let value = try? proof(by: key, method: method, url: url, now: now, accessToken: accessToken) else {
            throw Problem(.keyFailed)
        }
        var proven = request
        proven.setValue(value, forHTTPHeaderField: "DPoP")
        return proven
    }

    /// Sends a request once. A redirect is not followed, because a proof is for one URL.
    func send(_ request: URLRequest) async throws -> (Data, HTTPURLResponse) {
        let (data, response) = try await urlSession.data(for: request, delegate: NoRedirects())
        guard let response = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
        return (data, response)
    }

    /// How many seconds the clock of whoever answered is ahead of this device's; `nil` if they did not say.
    static func clockAhead(of response: HTTPURLResponse) -> TimeInterval? {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        return response.value(forHTTPHeaderField: "date").flatMap(format.date(from:))?.timeIntervalSinceNow
    }

    private func attempt<Body, Answer>(
        _ call: Call<Body, Answer>, _ body: Body, _ token: AccessToken?, _ idempotencyKey: String?
    ) async throws -> Answer {
        guard let url = URL(string: base.absoluteString.trimmingSuffix("/") + call.path) else { throw URLError(.badURL) }
        var request = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: timeout)
        request.httpMethod = call.method
        let content = try Json.encoder.encode(body)
        if !(body is Nothing), content != Data("null".utf8) {
            request.setValue("application/json", forHTTPHeaderField: "content-type")
            request.httpBody = content
        }
        if let token { request.setValue("\(token.type) \(token.text)", forHTTPHeaderField: "authorization") }
        if let idempotencyKey { request.setValue(idempotencyKey, forHTTPHeaderField: "idempotency-key") }
        request = try proving(request, accessToken: token?.text)
        let data: Data
        let response: HTTPURLResponse
        do {
            (data, response) = try await send(request)
        } catch let error as URLError where error.code == .cancelled {
            throw CancellationError()
        } catch let error as URLError {
            throw Problem(error.code == .timedOut ? .timedOut : .noAnswer)
        }
        // Somebody else's answer may come from a cache, and be old.
        if response.value(forHTTPHeaderField: "x-request-id") != nil { ahead = Self.clockAhead(of: response) ?? ahead }
        guard (200..<300).contains(response.statusCode) else { throw Problem(response, data) }
        let decoded = try? Json.decoder.decode(Answer.self, from: data)
        let answer = response.statusCode == 204 ? Nothing() as? Answer : decoded
        // A captive portal answers 200 with a page of its own.
        guard let answer else { throw Problem(.gatewayFailed, status: response.statusCode) }
        return answer
    }

    /// Seconds until the request is repeated; `nil` if it is not.
    private func wait<Body, Answer>(after problem: Problem, _ call: Call<Body, Answer>, _ attempt: Int) -> Double? {
        let soon = (Double(attempt) + Double.random(in: 0..<1)) / 2
        switch problem.code {
        case .invalidDpopProof:
            // The answer told the server's time. The next proof has it.
            return attempt == 0 && (try? key()) != nil ? 0 : nil
        case .serviceUnavailable:
            let seconds = problem.retryAfter ?? 1
            return seconds > Self.longestWait ? nil : Double(seconds)
        case .gatewayThrottled, .gatewayFailed, .keyFailed:
            return soon
        case .noAnswer, .timedOut:
            return call.isRepeatable ? soon : nil
        default:
            return nil
        }
    }
}

private final class NoRedirects: NSObject, URLSessionTaskDelegate {
    func urlSession(
        _ session: URLSession,
        task: URLSessionTask,
        willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest
    ) async -> URLRequest? {
        nil
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
