// The bodies of requests and responses. Their names in JSON are these in snake_case, which `Json` converts. `check`
// compares them with openapi.yaml.

import Foundation

/// Prints as its name alone. Swift prints all members of other types, and a log must have no code, token or number.
public protocol Unprinted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {}

extension Unprinted {
    public var description: String { String(describing: Self.self) }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

public struct SendRequest: Encodable, Sendable, Unprinted {
    /// In any form. A national one is read in the organization's default region.
    public var phoneNumber: String
    public var organizationId: String?
    public var source: String?
    /// The language of the message.
    public var locale: String?

    public init(phoneNumber: String, organizationId: String? = nil, source: String? = nil, locale: String? = nil) {
        self.phoneNumber = phoneNumber
        self.organizationId = organizationId
        self.source = source
        self.locale = locale
    }
}

public struct SendPhoneRequest: Encodable, Sendable, Unprinted {
    public var phoneNumber: String
    public var organizationId: String?
    public var source: String?
    public var locale: String?
    /// The caller wants another number than the one of the account.
    public var change: Bool?

    public init(phoneNumber: String, change: Bool? = nil) {
        self.phoneNumber = phoneNumber
        self.change = change
    }
}

public struct SubmitRequest: Encodable, Sendable, Unprinted {
    public var phoneNumber: String?
    public var otp: String?
    public var challengeId: String?
    /// Instead of `otp`.
    public var firebaseIdToken: String?
    /// At most one of these three is `true`.
    public var restore: Bool?
    public var freshAccount: Bool?
    public var recover: Bool?
    public var signOutOthers: Bool?
    public var refreshToken: String?
    public var name: String?
    public var imageUrl: String?
    public var source: String?
    public var organizationId: String?
    public var fcmToken: String?
    public var deviceName: String?

    public init() {}
}

public struct ValidateRequest: Encodable, Sendable, Unprinted {
    public var phoneNumber: String
    public var otp: String
    /// The caller's own, if they have one.
    public var username: String?
    public var challengeId: String?
    public var organizationId: String?

    public init(phoneNumber: String, otp: String, username: String? = nil, challengeId: String? = nil) {
        self.phoneNumber = phoneNumber
        self.otp = otp
        self.username = username
        self.challengeId = challengeId
    }
}

public struct RefreshRequest: Encodable, Sendable, Unprinted {
    public var refreshToken: String
}

/// A new value of a member of the profile, or its removal.
public enum Change: Encodable, Sendable {
    case to(String)
    case remove

    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .to(let value): try container.encode(value)
        case .remove: try container.encodeNil()
        }
    }
}

/// Members that are `nil` stay as they are.
public struct PatchMeRequest: Encodable, Sendable, Unprinted {
    public var name: Change?
    public var imageUrl: Change?
    /// Needs a fresh access token.
    public var username: Change?

    public init(name: Change? = nil, imageUrl: Change? = nil, username: Change? = nil) {
        self.name = name
        self.imageUrl = imageUrl
        self.username = username
    }
}

public struct FcmTokenRequest: Encodable, Sendable, Unprinted {
    public var fcmToken: String?

    public init(fcmToken: String) {
        self.fcmToken = fcmToken
    }
}

public struct ApprovalRequest: Encodable, Sendable, Unprinted {
    public var challengeId: String

    public init(challengeId: String) {
        self.challengeId = challengeId
    }
}

public struct CodeSent: Decodable, Sendable, Unprinted {
    public let message: String
    public let challengeId: String
    /// Seconds.
    public let expiresIn: Int
    /// Seconds until another message can be sent.
    public let resendIn: Int
    public let attemptsLeft: Int
    /// For people: that no further code comes before this one expires.
    public let detail: String?
    public let otherWays: [String]?
    /// Seconds until the change of number is made, if it has to wait.
    public let changeIn: Int?
}

public struct Tokens: Decodable, Sendable, Unprinted {
    /// The scheme with which the access token is sent: `Bearer` or `DPoP`.
    public let tokenType: String
    public let accessToken: String
    /// Seconds.
    public let expiresIn: Int
    public let refreshToken: String
    /// Seconds.
    public let refreshExpiresIn: Int
}

public struct SignedIn: Decodable, Sendable, Unprinted {
    public let tokenType: String
    public let accessToken: String
    public let expiresIn: Int
    public let refreshToken: String
    public let refreshExpiresIn: Int
    public let isNewUser: Bool
    /// How many other sessions the account has.
    public let otherSessions: Int?
    public let user: Me
}

/// The profile. Times are epoch seconds.
public struct Me: Decodable, Sendable, Unprinted {
    public let userId: String
    public let phoneNumber: String?
    public let phoneVerified: Bool
    public let username: String?
    public let name: String?
    public let imageUrl: String?
    public let source: String?
    public let roles: [String: [String]]
    public let createdAt: Int
    public let lastSignInAt: Int
    /// Soon a code alone will not open the account: ask the person to prove the number by then.
    public let phoneProofDueAt: Int?
    public let phoneChange: PhoneChange?
    public let pendingPhoneChange: PendingPhoneChange?
    public let recovery: Recovery?
}

/// A change of number that can be taken back.
public struct PhoneChange: Decodable, Sendable {
    public let changedAt: Int
    public let undoUntil: Int
}

/// A change of number that waits.
public struct PendingPhoneChange: Decodable, Sendable, Unprinted {
    public let phoneNumber: String
    public let requestedAt: Int
    public let dueAt: Int
}

/// Whoever has the number asked for the account.
public struct Recovery: Decodable, Sendable {
    public let requestedAt: Int
    public let opensAt: Int
    public let closesAt: Int
}

/// What a right code of a verification did.
public struct Validated: Decodable, Sendable {
    public let message: String
    /// Epoch seconds. The change of number waits until then; `nil` if it was made.
    public let changeDueAt: Int?
}

public struct Devices: Decodable, Sendable {
    public let sessions: [Device]
}

/// A signed-in device. Times are epoch seconds.
public struct Device: Decodable, Sendable {
    public let sessionId: String
    public let deviceName: String?
    public let createdAt: Int
    public let lastUsedAt: Int
    public let expiresAt: Int
    public let hasDeviceKey: Bool
    public let current: Bool
    public let fcmTokenAt: Int?
}

public struct FcmTokenRegistered: Decodable, Sendable {
    public let fcmTokenAt: Int
}

/// What came of an undo: a sign-in if it was by a code, the profile if it was by a session.
public enum Undone: Decodable, Sendable {
    case signedIn(SignedIn)
    case profile(Me)

    public init(from decoder: Decoder) throws {
        if let signedIn = try? SignedIn(from: decoder) {
            self = .signedIn(signedIn)
        } else {
            self = .profile(try Me(from: decoder))
        }
    }
}

/// A request or an answer without a body.
public struct Nothing: Codable, Sendable {
    public init() {}
}

enum Json {
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        // The same request has the same text: a repeated submit is recognized by it.
        encoder.outputFormatting = .sortedKeys
        return encoder
    }

    static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return decoder
    }
}
