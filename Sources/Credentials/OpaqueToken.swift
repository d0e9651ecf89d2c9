import Contract
import Crypto

/// A secret of 256 random bits that its holder shows again: a refresh token, the link in a mail, a service key. Only its SHA-256 is
/// ever stored, which is enough for a secret that nobody can guess (OWASP ASVS 5.0, 11.5.1).
public struct OpaqueToken: Sendable {
    /// 43 characters of Base64 for URLs.
    public let secret: String
    /// What is stored: 32 bytes.
    public let digest: [UInt8]

    /// A new one.
    public init() {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        for _ in 0..<4 { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
        secret = Base64URL.encode(bytes)
        digest = Self.digest(bytes)
    }

    /// The one that takes the place of `parent`: HMAC-SHA-256 (RFC 2104) under `key` of the parent and `salt`, 32 random bytes of its
    /// own. So whoever shows the parent again gets the very same token, although no token is stored; without the key nobody foresees it.
    public init(after parent: OpaqueToken, salt: [UInt8], key: SuccessorKey) {
        let bytes = Array(HMAC<SHA256>.authenticationCode(for: Array(parent.secret.utf8) + salt, using: key.key))
        secret = Base64URL.encode(bytes)
        digest = Self.digest(bytes)
    }

    /// One that was presented. Nil unless it has the shape of one.
    public init?(presented text: some StringProtocol) {
        guard text.utf8.count == 43, let bytes = Base64URL.decode(text), bytes.count == 32 else { return nil }
        secret = String(text)
        digest = Self.digest(bytes)
    }

    private static func digest(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }
}

extension OpaqueToken: CustomStringConvertible, CustomReflectable {
    public var description: String { "an opaque token" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
