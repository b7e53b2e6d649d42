// The device's key in the Secure Enclave, and proofs that a request comes from it (DPoP, RFC 9449).

import CryptoKit
import Foundation

/// An ECDSA key on P-256.
public protocol DeviceKey {
    /// x, then y, 32 bytes each.
    var point: Data { get }
    /// r, then s, 32 bytes each.
    func signature(of data: Data) throws -> Data
}

/// Only this device's Secure Enclave can use the key. What is kept of it is encrypted by the Secure Enclave.
public struct SecureEnclaveKey: DeviceKey {
    private let key: SecureEnclave.P256.Signing.PrivateKey

    public var point: Data { key.publicKey.rawRepresentation }

    public func signature(of data: Data) throws -> Data {
        try key.signature(for: data).rawRepresentation
    }

    /// The key that the store has. `nil` if it has none.
    static func find(in store: Store) throws -> SecureEnclaveKey? {
        guard let kept = try store.get("key") else { return nil }
        return SecureEnclaveKey(key: try SecureEnclave.P256.Signing.PrivateKey(dataRepresentation: kept))
    }

    /// The key that the store has, or a new one. `nil` where there is no Secure Enclave, as in some simulators. Sessions are
    /// then not bound to a key.
    static func findOrMake(in store: Store) throws -> SecureEnclaveKey? {
        try find(in: store) ?? make(in: store)
    }

    /// A new key, in the place of the one that the store may have.
    static func make(in store: Store) throws -> SecureEnclaveKey? {
        guard SecureEnclave.isAvailable else { return nil }
        // By default, a key works once the device was unlocked for the first time: an app refreshes in the background too.
        let made = try SecureEnclave.P256.Signing.PrivateKey()
        try store.put("key", made.dataRepresentation)
        return SecureEnclaveKey(key: made)
    }
}

private struct Jwk: Encodable {
    let kty = "EC"
    let crv = "P-256"
    let x: String
    let y: String
}

private struct Header: Encodable {
    let typ = "dpop+jwt"
    let alg = "ES256"
    let jwk: Jwk
}

private struct Proof: Encodable {
    let jti: String
    let htm: String
    let htu: String
    let iat: Int
    let ath: String?
}

/// The header `DPoP` of one request.
///
/// - Parameters:
///   - now: the server's time. It refuses a proof that is five minutes off.
///   - accessToken: the token in `Authorization`, if there is one.
func proof(by key: DeviceKey, method: String, url: URL, now: Date, accessToken: String?) throws -> String {
    let point = key.point
    let jwk = Jwk(x: base64url(point.prefix(32)), y: base64url(point.suffix(32)))
    let claims = Proof(
        jti: UUID().uuidString,
        htm: method,
        htu: String(url.absoluteString.prefix { $0 != "?" && $0 != "#" }),
        iat: Int(now.timeIntervalSince1970),
        ath: accessToken.map { base64url(Data(SHA256.hash(data: Data($0.utf8)))) }
    )
    let encoder = JSONEncoder()
    let header = base64url(try encoder.encode(Header(jwk: jwk)))
    let signed = "\(header).\(base64url(try encoder.encode(claims)))"
    return "\(signed).\(base64url(try key.signature(of: Data(signed.utf8))))"
}

/// Without padding (RFC 7515).
func base64url(_ data: Data) -> String {
    data.base64EncodedString()
        .replacingOccurrences(of: "+", with: "-")
        .replacingOccurrences(of: "/", with: "_")
        .replacingOccurrences(of: "=", with: "")
}

/// What a JWT says, without a check of its signature: for the client's own use only. Throws a `Problem` for what is none: then
/// somebody else than Latchkey answered.
func decoded<Claims: Decodable>(_ type: Claims.Type, of jwt: String) throws -> Claims {
    let parts = jwt.split(separator: ".")
    guard parts.count == 3 else { throw Problem(.gatewayFailed) }
    var text = parts[1].replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
    text += String(repeating: "=", count: (4 - text.count % 4) % 4)
    do {
        return try JSONDecoder().decode(type, from: Data(base64Encoded: text) ?? Data())
    } catch {
        throw Problem(.gatewayFailed)
    }
}
