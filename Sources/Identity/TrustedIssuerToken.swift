import Contract
import JSON
import JWTKit

/// The algorithms that tokens of others may be signed with (RFC 7518 §3.1, RFC 8037). `none` is not among them.
enum SigningAlgorithm: String, Sendable, CaseIterable {
    case hs256 = "HS256"
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    case edDSA = "EdDSA"

    /// Whether both sides share the key, so that whoever can verify can also sign.
    var isShared: Bool { self == .hs256 }
}

/// A JSON Web Token in its compact form (RFC 7519, RFC 7515 §7.1), read and not yet believed.
struct SignedToken: Sendable {
    /// Bytes of the longest token that is looked at.
    static let limit = 8192

    let algorithm: String
    let keyID: String?
    let type: String?
    let claims: TokenClaims
    private let signed: [UInt8]
    private let signature: [UInt8]

    /// Nil for what is no signed token, or one with an extension that has to be understood (`crit`).
    init?(_ text: String) {
        guard text.utf8.count <= Self.limit else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Base64URL.decode(parts[0]).flatMap({ TokenClaims(json: $0) }), header["crit"] == nil,
            let algorithm = header.text("alg"), let claims = Base64URL.decode(parts[1]).flatMap({ TokenClaims(json: $0) }),
            let signature = Base64URL.decode(parts[2])
        else { return nil }
        self.algorithm = algorithm
        (keyID, type) = (header.text("kid"), header.text("typ"))
        self.claims = claims
        signed = Array(text.utf8.prefix(parts[0].utf8.count + 1 + parts[1].utf8.count))
        self.signature = signature
    }

    /// A signature that cannot even be read is none.
    func isSigned(with key: any JWTAlgorithm) -> Bool {
        key.name == algorithm && (try? key.verify(signature, signs: signed)) == true
    }
}

/// What a token says, or a document of an issuer.
struct TokenClaims: Sendable {
    private let members: [String: JSONValue]

    init(_ members: [String: JSONValue]) { self.members = members }

    /// Nil for what is no JSON object.
    init?(json: [UInt8]) {
        guard case .object(let members)? = try? JSONValue(json) else { return nil }
        self.members = members
    }

    /// With what `others` say and these do not.
    func completed(by others: TokenClaims) -> TokenClaims { TokenClaims(members.merging(others.members) { mine, _ in mine }) }

    /// The claim of that name; where there is none, a name with points leads into objects: `user_metadata.user_name`.
    subscript(_ name: String) -> JSONValue? {
        if let value = members[name] { return value }
        var (value, rest) = (JSONValue.object(members), name[...])
        while !rest.isEmpty {
            let part = rest.prefix { $0 != "." }
            rest = rest.dropFirst(part.count + 1)
            guard case .object(let members) = value, let next = members[String(part)] else { return nil }
            value = next
        }
        return value
    }

    /// A text that is not empty.
    func text(_ name: String) -> String? {
        if case .text(let text)? = self[name], !text.isEmpty { text } else { nil }
    }

    /// Some issuers write `"true"`.
    func isTrue(_ name: String) -> Bool { self[name] == .bool(true) || self[name] == .text("true") }

    /// `aud`, which is one text or several.
    var audiences: [String] {
        if let audience = text("aud") { [audience] } else { texts("aud") }
    }

    /// The texts of a list; none where there is no list.
    func texts(_ name: String) -> [String] {
        guard case .array(let values)? = self[name] else { return [] }
        return values.compactMap { if case .text(let text) = $0 { text } else { nil } }
    }

    /// A time, in seconds since 1970 (RFC 7519 §2).
    private func seconds(_ name: String) -> Double? {
        if case .number(let digits)? = self[name] { Double(digits) } else { nil }
    }

    /// How far the clocks of an issuer and of the gateway may be apart.
    static let leeway = 30.0

    /// Throws unless the token has an end that is to come, and does not begin later.
    func checkTimes(now: Timestamp) throws(TokenFlaw) {
        let now = Double(now.milliseconds) / 1000
        guard let end = seconds("exp"), end + Self.leeway > now else { throw .expired }
        for name in ["nbf", "iat"] where self[name] != nil {
            guard let begin = seconds(name), begin - Self.leeway <= now else { throw .notYet }
        }
    }
}

/// Why a token of another issuer is not believed. What it says of whoever shows it, nobody need know but them.
enum TokenFlaw: String, Error {
    case malformed = "is no signed token that can be read"
    case algorithm = "is signed with an algorithm that is not taken from its issuer"
    case type = "is of a type that is not taken from its issuer"
    case unknownKey = "is signed with a key that its issuer does not publish"
    case signature = "has a signature that does not fit"
    case expired = "has expired, or says no time at which it will"
    case notYet = "is not valid yet"
    case issuer = "is of another issuer"
    case audience = "is for another audience"
    case subject = "says of nobody who they are"
    case nonce = "answers another request"
    case accessToken = "does not fit the access token that it came with"

    var problem: Problem { Problem(.unauthenticated, "The token \(rawValue).") }
}
