import Crypto
import Foundation

/// What the gateway keeps from whoever reads its database: the secret that all seals derive from.
public struct IdentitySecret: Sendable {
    static let leastBytes = 32

    private let key: SymmetricKey

    /// Nil for fewer than 32 bytes.
    public init?(_ text: String) {
        guard text.utf8.count >= Self.leastBytes else { return nil }
        key = SymmetricKey(data: Array(text.utf8))
    }

    /// For a developer's own machine, and no secret at all.
    public static let development = IdentitySecret(label: "kababeat: development, known to everybody")

    private init(label: String) { key = SymmetricKey(data: Array(label.utf8)) }

    /// The seal for one kind of secret. One kind never opens another's.
    public func seal(for purpose: Seal.Purpose) -> Seal { Seal(key: key(for: purpose.rawValue)) }

    /// What tokens that take the place of others are derived with.
    public var successorKey: SuccessorKey { SuccessorKey(key: key(for: "successors")) }

    private func key(for purpose: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: key, salt: Array("kababeat seal 1".utf8), info: Array(purpose.utf8), outputByteCount: 32)
    }
}

/// See `OpaqueToken.init(after:salt:key:)`.
public struct SuccessorKey: Sendable {
    let key: SymmetricKey
}

/// Encrypts what is stored and has to be read again: AES-256-GCM (NIST SP 800-38D) under a key of its own for each purpose, derived by
/// HKDF-SHA256 (RFC 5869). Written as a version byte, 12 bytes of nonce, the ciphertext and 16 bytes of tag.
public struct Seal: Sendable {
    /// What is sealed. The raw value goes into the derivation of the key: changing it makes what was sealed unreadable.
    public enum Purpose: String, Sendable, CaseIterable {
        case signingKeys = "signing_keys"
        case oneTimeSecrets = "one_time_secrets"
        case mails = "mails"
        case signInVerifiers = "sign_in_verifiers"
    }

    /// What was sealed with another secret, for another purpose or place, or has been changed since.
    public struct OpenError: Error, Sendable, CustomStringConvertible {
        public let description = "a sealed value does not open: identity.secret is not the one that it was sealed with"
    }

    private static let version: UInt8 = 1

    private let key: SymmetricKey

    init(key: SymmetricKey) { self.key = key }

    /// `place` names where it will be stored, such as the row's id: sealed bytes moved to another row do not open there.
    public func seal(_ bytes: [UInt8], at place: String) throws(OpenError) -> [UInt8] {
        guard let box = try? AES.GCM.seal(bytes, using: key, authenticating: Self.context(place)), let combined = box.combined else {
            throw OpenError()
        }
        return [Self.version] + combined
    }

    /// What `seal` was given for the same place. Throws where it does not open.
    public func open(_ sealed: [UInt8], at place: String) throws(OpenError) -> [UInt8] {
        guard sealed.first == Self.version, let box = try? AES.GCM.SealedBox(combined: sealed.dropFirst()),
            let bytes = try? AES.GCM.open(box, using: key, authenticating: Self.context(place))
        else { throw OpenError() }
        return Array(bytes)
    }

    private static func context(_ place: String) -> [UInt8] { [version] + place.utf8 }
}
