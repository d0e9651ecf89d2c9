import Contract
import Crypto

/// A key that signs access tokens: ECDSA over P-256 with SHA-256, which RFC 7518 calls ES256.
public struct SigningKey: Sendable {
    public static let algorithm = "ES256"

    /// The key's name in tokens and in the key set: its thumbprint (RFC 7638).
    public let id: String
    /// What is stored, sealed: 32 bytes.
    public let privateBytes: [UInt8]
    /// The public half as a JSON Web Key (RFC 7517): what others verify tokens with.
    public let publicJWK: String

    let key: P256.Signing.PrivateKey

    /// A new one.
    public init() { self.init(P256.Signing.PrivateKey()) }

    /// One that was stored. Nil for bytes that are no key.
    public init?(privateBytes: [UInt8]) {
        guard let key = try? P256.Signing.PrivateKey(rawRepresentation: privateBytes) else { return nil }
        self.init(key)
    }

    private init(_ key: P256.Signing.PrivateKey) {
        self.key = key
        privateBytes = Array(key.rawRepresentation)
        let point = Array(key.publicKey.rawRepresentation)
        let (x, y) = (Base64URL.encode(Array(point.prefix(32))), Base64URL.encode(Array(point.suffix(32))))
        // RFC 7638 §3.1: the required members alone, in the order of their names.
        id = Base64URL.encode(Array(SHA256.hash(data: Array(#"{"crv":"P-256","kty":"EC","x":"\#(x)","y":"\#(y)"}"#.utf8))))
        publicJWK = #"{"kty":"EC","crv":"P-256","x":"\#(x)","y":"\#(y)","kid":"\#(id)","alg":"ES256","use":"sig"}"#
    }
}

extension SigningKey: CustomStringConvertible, CustomReflectable {
    public var description: String { "the signing key \(id)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
