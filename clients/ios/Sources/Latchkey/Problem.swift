// What can go wrong with a request, as one error with a stable code.

import Foundation

/// Why a request did not succeed. A later version of Latchkey may answer with codes that are not in this list.
public struct ProblemCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    public static let malformedRequest = ProblemCode(rawValue: "malformed_request")
    public static let invalidPhoneNumber = ProblemCode(rawValue: "invalid_phone_number")
    public static let invalidValidationRequest = ProblemCode(rawValue: "invalid_validation_request")
    public static let payloadTooLarge = ProblemCode(rawValue: "payload_too_large")
    public static let unsupportedMediaType = ProblemCode(rawValue: "unsupported_media_type")
    public static let noSuchOrganization = ProblemCode(rawValue: "no_such_organization")
    public static let countryNotAllowed = ProblemCode(rawValue: "country_not_allowed")
    public static let edgeRequired = ProblemCode(rawValue: "edge_required")
    public static let firebaseTokenInvalid = ProblemCode(rawValue: "firebase_token_invalid")
    public static let firebaseTokenExpired = ProblemCode(rawValue: "firebase_token_expired")
    public static let incorrectOtp = ProblemCode(rawValue: "incorrect_otp")
    public static let otpExpired = ProblemCode(rawValue: "otp_expired")
    public static let tooManyAttempts = ProblemCode(rawValue: "too_many_attempts")
    public static let tooManyRequests = ProblemCode(rawValue: "too_many_requests")
    public static let phoneOrUsernameMistaken = ProblemCode(rawValue: "phone_or_username_mistaken")
    public static let alreadyVerified = ProblemCode(rawValue: "already_verified")
    public static let testNumberRefused = ProblemCode(rawValue: "test_number_refused")
    public static let notAMember = ProblemCode(rawValue: "not_a_member")
    public static let accountBlocked = ProblemCode(rawValue: "account_blocked")
    public static let secondSignalRequired = ProblemCode(rawValue: "second_signal_required")
    public static let numberReleased = ProblemCode(rawValue: "number_released")
    public static let recoveryPending = ProblemCode(rawValue: "recovery_pending")
    public static let recoveryRefused = ProblemCode(rawValue: "recovery_refused")
    public static let changePending = ProblemCode(rawValue: "change_pending")
    public static let usernameTaken = ProblemCode(rawValue: "username_taken")
    public static let noSuchUser = ProblemCode(rawValue: "no_such_user")
    public static let tokenRequired = ProblemCode(rawValue: "token_required")
    public static let tokenInvalid = ProblemCode(rawValue: "token_invalid")
    public static let tokenExpired = ProblemCode(rawValue: "token_expired")
    public static let invalidDpopProof = ProblemCode(rawValue: "invalid_dpop_proof")
    public static let sessionRevoked = ProblemCode(rawValue: "session_revoked")
    public static let refreshReused = ProblemCode(rawValue: "refresh_reused")
    public static let freshTokenRequired = ProblemCode(rawValue: "fresh_token_required")
    public static let nothingToApprove = ProblemCode(rawValue: "nothing_to_approve")
    public static let nothingToUndo = ProblemCode(rawValue: "nothing_to_undo")
    public static let nothingPending = ProblemCode(rawValue: "nothing_pending")
    public static let smsGatewayUnavailable = ProblemCode(rawValue: "sms_gateway_unavailable")
    public static let serviceUnavailable = ProblemCode(rawValue: "service_unavailable")

    // What Latchkey did not say.

    /// API Gateway had too many requests.
    public static let gatewayThrottled = ProblemCode(rawValue: "gateway_throttled")
    /// API Gateway failed, or something else in between did.
    public static let gatewayFailed = ProblemCode(rawValue: "gateway_failed")
    /// API Gateway refused the request, or something else in between did.
    public static let gatewayRefused = ProblemCode(rawValue: "gateway_refused")
    /// Nobody answered. The server may have done what was asked.
    public static let noAnswer = ProblemCode(rawValue: "no_answer")
    /// Nobody answered in time. The server may have done what was asked.
    public static let timedOut = ProblemCode(rawValue: "timed_out")
    /// The request needs a session and there is none. Nothing was sent.
    public static let signedOut = ProblemCode(rawValue: "signed_out")
    /// The device's key did not sign. Nothing was sent.
    public static let keyFailed = ProblemCode(rawValue: "key_failed")
}

/// Something wrong with a request, for whoever writes the app.
public struct RequestError: Decodable, Sendable {
    public let detail: String
    /// Where in the body: a JSON pointer as a fragment (RFC 6901, section 6).
    public let pointer: String?
    public let header: String?
    public let parameter: String?
}

/// All members that an answer of Latchkey which is no success may have. Times are epoch seconds.
public struct ProblemBody: Decodable, Sendable {
    public var type: String?
    public var title: String?
    public var status: Int?
    /// For people, in English or Nepali.
    public var detail: String?
    public var code: String?
    public var errors: [RequestError]?
    public var retryAfter: Int?
    public var attemptsLeft: Int?
    public var otherWays: [String]?
    public var approvalAsked: Bool?
    /// `number_change` or `account_deletion`.
    public var undoes: String?
    public var undoUntil: Int?
    public var opensAt: Int?
    public var closesAt: Int?
    public var possibleAt: Int?
    public var dueAt: Int?
}

/// A request that did not succeed. Branch on `code`; the description is a sentence for people.
public struct Problem: LocalizedError {
    public let code: ProblemCode
    /// The HTTP status. 0 if there was no answer.
    public let status: Int
    /// As it came. Empty if somebody else than Latchkey answered.
    public let body: ProblemBody
    /// Seconds to wait before the next try.
    public let retryAfter: Int?
    /// Quote it when you report a fault.
    public let requestId: String?

    /// Tries that are left with this code.
    public var attemptsLeft: Int? { plausible(body.attemptsLeft) }
    public var errorDescription: String? { String((body.detail ?? code.rawValue).prefix(Self.longestDetail)) }

    /// In characters.
    private static let longestDetail = 500

    init(_ code: ProblemCode, status: Int = 0) {
        self.code = code
        self.status = status
        body = ProblemBody()
        retryAfter = nil
        requestId = nil
    }

    /// The problem that an answer states. API Gateway's own answers have a `message` and no `code`.
    init(_ response: HTTPURLResponse, _ data: Data) {
        status = response.statusCode
        // A page of a proxy is no problem that can be read. Its status says the rest.
        let stated = try? Json.decoder.decode(ProblemBody.self, from: data)
        if let stated, let code = stated.code {
            self.code = ProblemCode(rawValue: code)
            body = stated
        } else {
            code = status == 429 ? .gatewayThrottled : status >= 500 ? .gatewayFailed : .gatewayRefused
            body = ProblemBody()
        }
        let header = response.value(forHTTPHeaderField: "retry-after").flatMap { Int($0) }
        retryAfter = plausible(body.retryAfter) ?? plausible(header)
        requestId = response.value(forHTTPHeaderField: "x-request-id")
    }
}

/// A number of seconds or tries that can be real: below the year 5138, in seconds since the epoch. Whoever answers may not be
/// Latchkey.
func plausible(_ value: Int?) -> Int? {
    value.flatMap { (0..<100_000_000_000).contains($0) ? $0 : nil }
}
