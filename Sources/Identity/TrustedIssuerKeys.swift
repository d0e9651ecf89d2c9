import Contract
import JSON
import JWTKit

/// The keys that one issuer signs with, each for one algorithm.
struct TrustedIssuerKeys: Sendable {
    /// Bytes of the largest key set that is read, and keys of it.
    static let documentLimit = 256 << 10
    private static let mostKeys = 64

    private struct Key: Sendable {
        let id: String?
        let algorithm: SigningAlgorithm
        let key: any JWTAlgorithm
    }

    private let keys: [Key]

    /// The one key of an issuer that shares it: HMAC with SHA-256.
    init(secret: [UInt8]) async {
        let collection = JWTKeyCollection()
        await collection.add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256)
        // The one that was just added: throws for a collection without any.
        let key = try? await collection.getKey()
        keys = key.map { [Key(id: nil, algorithm: .hs256, key: $0)] } ?? []
    }

    /// The keys of a JSON Web Key Set (RFC 7517) for the algorithms that are `allowed`. Keys of other kinds and uses, and those that make
    /// no sense, are passed over: an issuer may have more than we understand. Nil for what is no key set.
    init?(document: [UInt8], allowed: Set<SigningAlgorithm>) async {
        guard let document = TokenClaims(json: document), case .array(let entries)? = document["keys"] else { return nil }
        var keys: [Key] = []
        for case .object(let entry) in entries.prefix(Self.mostKeys) {
            let members = TokenClaims(entry)
            guard members.text("use").map({ $0 == "sig" }) ?? true else { continue }
            for algorithm in Self.algorithms(of: members) where allowed.contains(algorithm) {
                guard let key = await Self.key(members, for: algorithm) else { continue }
                keys.append(Key(id: members.text("kid"), algorithm: algorithm, key: key))
            }
        }
        self.keys = keys
    }

    /// The key for a token with this header. Without a key id, there must be only one that it can be.
    func key(for token: SignedToken) -> (any JWTAlgorithm)? {
        let fitting = keys.filter { $0.algorithm.rawValue == token.algorithm }
        // A secret has no id, whatever its issuer calls it.
        if let shared = fitting.first, shared.algorithm.isShared { return shared.key }
        guard let id = token.keyID else { return fitting.count == 1 ? fitting.first?.key : nil }
        return fitting.first { $0.id == id }?.key
    }

    /// What a key can be used for: what it says, or else what its kind allows.
    private static func algorithms(of key: TokenClaims) -> [SigningAlgorithm] {
        if let name = key.text("alg") { return SigningAlgorithm(rawValue: name).map { [$0] } ?? [] }
        switch (key.text("kty"), key.text("crv")) {
        case ("RSA", _): return [.rs256, .rs384, .rs512, .ps256, .ps384, .ps512]
        case ("EC", "P-256"): return [.es256]
        case ("EC", "P-384"): return [.es384]
        case ("EC", "P-521"): return [.es512]
        case ("OKP", "Ed25519"): return [.edDSA]
        default: return []
        }
    }

    /// Nil where its numbers are no key, or an RSA key of fewer than 2048 bits.
    private static func key(_ key: TokenClaims, for algorithm: SigningAlgorithm) async -> (any JWTAlgorithm)? {
        guard let name = JWK.Algorithm(rawValue: algorithm.rawValue) else { return nil }
        let id = JWKIdentifier(string: "key")
        let jwk: JWK? =
            switch key.text("kty") {
            case "RSA": JWK.rsa(name, identifier: id, modulus: key.text("n"), exponent: key.text("e"))
            case "EC":
                JWK.ecdsa(
                    name, identifier: id, x: key.text("x"), y: key.text("y"), curve: key.text("crv").flatMap { ECDSACurve(rawValue: $0) })
            case "OKP":
                JWK.octetKeyPair(
                    name, identifier: id, x: key.text("x"), y: nil, curve: key.text("crv").flatMap { EdDSACurve(rawValue: $0) })
            default: nil
            }
        guard let jwk else { return nil }
        let collection = JWTKeyCollection()
        guard (try? await collection.add(jwk: jwk)) != nil, let made = try? await collection.getKey(), made.name == algorithm.rawValue
        else {
            return nil
        }
        return made
    }
}
