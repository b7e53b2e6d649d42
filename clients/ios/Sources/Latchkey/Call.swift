// The operations of openapi.yaml that an app calls, by their operation ids. `check` compares them with it.

import Foundation

public struct Call<Body: Encodable & Sendable, Answer: Decodable & Sendable>: Sendable {
    let method: String
    let path: String
    /// Whether it is harmless to do it again where the server may have done it.
    let isRepeatable: Bool

    init(_ method: String, _ path: String, isRepeatable: Bool = true) {
        self.method = method
        self.path = path
        self.isRepeatable = isRepeatable
    }
}

// A second send of a code has to wait, and a second use of a code is refused. A submit has its Idempotency-Key.

extension Call where Body == SendRequest, Answer == CodeSent {
    public static var sendOtp: Self { Self("POST", "/v1/otp/send", isRepeatable: false) }
}

extension Call where Body == SubmitRequest, Answer == SignedIn {
    public static var submitOtp: Self { Self("POST", "/v1/otp/submit") }
}

extension Call where Body == SendPhoneRequest, Answer == CodeSent {
    public static var sendPhoneOtp: Self { Self("POST", "/v1/phone/otp/send", isRepeatable: false) }
}

extension Call where Body == ValidateRequest, Answer == Validated {
    public static var validatePhoneOtp: Self { Self("POST", "/v1/phone/otp/validate", isRepeatable: false) }
}

/// By a code of the former number; or with `nil`, by a session that is bound and older than the change.
extension Call where Body == SubmitRequest?, Answer == Undone {
    public static var undoPhoneChange: Self { Self("POST", "/v1/phone/change/undo") }
}

extension Call where Body == Nothing, Answer == Nothing {
    public static var cancelPhoneChange: Self { Self("POST", "/v1/phone/change/cancel") }
    public static var cancelRecovery: Self { Self("POST", "/v1/recovery/cancel") }
    public static var signOut: Self { Self("DELETE", "/v1/session") }
    public static var signOutEverywhere: Self { Self("DELETE", "/v1/sessions") }
    public static var deleteMe: Self { Self("DELETE", "/v1/me") }

    /// The id of the session goes into the path.
    public static func revokeSession(_ id: String) -> Self {
        let safe = id.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        return Self("DELETE", "/v1/sessions/{session_id}".replacingOccurrences(of: "{session_id}", with: safe))
    }
}

extension Call where Body == RefreshRequest, Answer == Tokens {
    public static var refreshSession: Self { Self("POST", "/v1/session/refresh") }
}

extension Call where Body == Nothing, Answer == Devices {
    public static var listSessions: Self { Self("GET", "/v1/sessions") }
}

extension Call where Body == Nothing, Answer == Me {
    public static var getMe: Self { Self("GET", "/v1/me") }
}

extension Call where Body == PatchMeRequest, Answer == Me {
    public static var patchMe: Self { Self("PATCH", "/v1/me") }
}

extension Call where Body == FcmTokenRequest, Answer == FcmTokenRegistered {
    public static var putFcmToken: Self { Self("PUT", "/v1/me/fcm-token") }
}

extension Call where Body == ApprovalRequest, Answer == Nothing {
    public static var approveSignIn: Self { Self("POST", "/v1/me/sign-in-approval") }
}
