/// The name that a client gives one request, so that sending it again does not do it again: `Idempotency-Key`, as
/// https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/07/ has it.
public struct IdempotencyKey: Sendable, Hashable, CustomStringConvertible {
    public static let longest = 255

    public let description: String

    /// Reads the field: a Structured Field string (RFC 9651 §3.3.3) without escapes, `"8e03978e-40d5"`, or what most clients send, the same
    /// without its quotes. Nil for anything else: an empty key, a long one, two of them, parameters.
    public init?(field: String) {
        let bytes = Array(field.utf8)
        let isQuoted = bytes.count > 2 && bytes.first == Self.quote && bytes.last == Self.quote
        let text = isQuoted ? bytes[1..<bytes.count - 1] : bytes[...]
        // Within its quotes it may hold what would otherwise make it a list, parameters, or two words.
        let isOne = text.allSatisfy { (0x20...0x7E).contains($0) && !#""\"#.utf8.contains($0) && (isQuoted || !" ,;".utf8.contains($0)) }
        guard isOne, 1...Self.longest ~= text.count else { return nil }
        description = String(decoding: text, as: UTF8.self)
    }

    private static let quote = UInt8(ascii: "\"")
}

/// The right to carry out the request that a key names, and what is to be the same however often that is tried.
public struct IdempotencyClaim: Sendable, Hashable {
    public let principal: Principal
    public let key: IdempotencyKey
    /// Tells this claim from a later one of the same key.
    public let token: EntityID
    /// The id of what the request makes, fixed before it makes anything.
    public let effect: EntityID
    /// Whether what the request asks for was done by one of those who had it before, and only the answer to it was lost: it is not done
    /// again, whatever has become of it since.
    public let isCarriedOut: Bool

    public init(principal: Principal, key: IdempotencyKey, token: EntityID, effect: EntityID, isCarriedOut: Bool) {
        self.principal = principal
        self.key = key
        self.token = token
        self.effect = effect
        self.isCarriedOut = isCarriedOut
    }
}

/// An answer as it is sent again, byte for byte.
public struct KeptAnswer: Sendable, Hashable {
    /// Bytes of the body of an answer that is kept. One that is longer is put together anew when it is asked for again.
    public static let mostBytes = 64 << 10

    public let status: Int
    /// Header fields, `Content-Type` among them.
    public let fields: [Field]
    public let body: [UInt8]

    /// A header field of the answer.
    public struct Field: Sendable, Hashable {
        public let name: String
        public let value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public init(status: Int, fields: [Field], body: [UInt8]) {
        self.status = status
        self.fields = fields
        self.body = body
    }
}

/// Keeps keys and the answers they stand for, each for its principal alone.
public protocol IdempotencyKeys: Sendable {
    /// Claims a key for a request that `fingerprint` tells from others. For `lease` nobody else may have it; after that, a request of the
    /// same fingerprint may claim it again. Throws `idempotencyKeyReused` where the key stands for another request,
    /// `idempotencyKeyInUse` where that request is being carried out; `storeUnavailable` or `overloaded`.
    func claim(
        _ key: IdempotencyKey, for principal: Principal, fingerprint: [UInt8], lease: Duration
    ) async throws(Problem) -> IdempotencyVerdict

    /// Ends a claim. One that somebody else has by now stays theirs. Throws `storeUnavailable` or `overloaded`.
    func settle(_ claim: IdempotencyClaim, _ outcome: IdempotencyOutcome) async throws(Problem)
}

/// What becomes of a request with a key.
public enum IdempotencyVerdict: Sendable, Hashable {
    case carryOut(IdempotencyClaim)
    /// It was carried out before, and this came of it.
    case answered(KeptAnswer)
}

/// How carrying out a request has ended.
public enum IdempotencyOutcome: Sendable, Hashable {
    /// With an answer that is sent again from now on.
    case answered(KeptAnswer)
    /// Refused with this answer. Where the request was carried out all the same, now or before, it is sent again from now on; otherwise
    /// nothing is left of the claim.
    case refused(KeptAnswer)
    /// With something done, or perhaps done: whoever sends the request again finishes it.
    case open
}
