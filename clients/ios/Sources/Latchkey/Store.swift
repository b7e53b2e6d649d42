// Where a session keeps its key and its tokens.

import Foundation
import Security

public protocol Store: Sendable {
    func get(_ name: String) throws -> Data?
    func put(_ name: String, _ value: Data) throws
    func remove(_ name: String) throws
}

public struct KeychainError: Error {
    /// https://developer.apple.com/documentation/security/security-framework-result-codes
    public let status: OSStatus
}

/// Keeps values in the Keychain of this device: in no backup of another one, and readable once the device was unlocked.
public struct KeychainStore: Store {
    private let service: String

    public init(service: String = "latchkey") {
        self.service = service
    }

    public func get(_ name: String) throws -> Data? {
        var query = item(name)
        query[kSecReturnData as String] = true
        query[kSecMatchLimit as String] = kSecMatchLimitOne
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        if status == errSecItemNotFound { return nil }
        guard status == errSecSuccess else { throw KeychainError(status: status) }
        return found as? Data
    }

    public func put(_ name: String, _ value: Data) throws {
        let attributes: [String: Any] = [
            kSecValueData as String: value,
            kSecAttrAccessible as String: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        ]
        var status = SecItemUpdate(item(name) as CFDictionary, attributes as CFDictionary)
        if status == errSecItemNotFound {
            status = SecItemAdd(item(name).merging(attributes) { _, new in new } as CFDictionary, nil)
        }
        guard status == errSecSuccess else { throw KeychainError(status: status) }
    }

    public func remove(_ name: String) throws {
        let status = SecItemDelete(item(name) as CFDictionary)
        guard status == errSecSuccess || status == errSecItemNotFound else { throw KeychainError(status: status) }
    }

    private func item(_ name: String) -> [String: Any] {
        [
            kSecClass as String: kSecClassGenericPassword,
            kSecAttrService as String: service,
            kSecAttrAccount as String: name,
        ]
    }
}
