import Crypto

/// A code that stands in for a lost authenticator, once: 120 random bits, written `ABCDEF-GHIJKL-MNOPQR-STUVWX`. With more than 112 bits
/// a plain digest is enough to store it by (OWASP ASVS 5.0, 6.5.2).
public struct RecoveryCode: Sendable {
    /// How many an account gets.
    public static let count = 10
    private static let bytes = 15

    /// Four groups of six characters.
    public let text: String
    /// What is stored: 32 bytes.
    public let digest: [UInt8]

    /// A new one.
    public init() { self.init(bytes: RandomBytes.make(Self.bytes)) }

    /// One that was presented, in either case and with or without its hyphens and spaces. Nil unless it has the shape of one.
    public init?(presented text: String) {
        guard text.utf8.count <= 64, let bytes = Base32.decode(text.filter { $0 != "-" && $0 != " " }), bytes.count == Self.bytes else {
            return nil
        }
        self.init(bytes: bytes)
    }

    private init(bytes: [UInt8]) {
        let characters = Array(Base32.encode(bytes))
        text = stride(from: 0, to: characters.count, by: 6).map { String(characters[$0..<$0 + 6]) }.joined(separator: "-")
        digest = Array(SHA256.hash(data: bytes))
    }

    /// The codes of one account, all different.
    public static func makeAll() -> [RecoveryCode] { (0..<count).map { _ in RecoveryCode() } }
}

extension RecoveryCode: CustomStringConvertible, CustomReflectable {
    public var description: String { "a recovery code" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
