/// An answer other than the one that was asked for, as RFC 9457 describes it. The only error a feature lets out.
public struct Problem: Error, Sendable, Equatable {
    /// The catalogue of everything that can go wrong; `docs/errors.md` lists it and a test holds the two together.
    public enum Code: String, Sendable, CaseIterable {
        case invalidRequest = "invalid_request"
        case unknownParameter = "unknown_parameter"
        case invalidCursor = "invalid_cursor"
        case invalidHost = "invalid_host"
        case bodyNotAllowed = "body_not_allowed"
        case invalidBody = "invalid_body"
        case unauthenticated = "unauthenticated"
        case secondFactorNeeded = "second_factor_needed"
        case forbidden = "forbidden"
        case accountSuspended = "account_suspended"
        case crossSite = "cross_site"
        case notFound = "not_found"
        case methodNotAllowed = "method_not_allowed"
        case conflict = "conflict"
        case idempotencyKeyInUse = "idempotency_key_in_use"
        case versionConflict = "version_conflict"
        case bodyTooLarge = "body_too_large"
        case uriTooLong = "uri_too_long"
        case unsupportedMediaType = "unsupported_media_type"
        case unsupportedTransferCoding = "unsupported_transfer_coding"
        case idempotencyKeyReused = "idempotency_key_reused"
        case rateLimited = "rate_limited"
        case `internal` = "internal"
        case overloaded = "overloaded"
        case storeUnavailable = "store_unavailable"
        case timeout = "timeout"
    }

    /// One input that is wrong, by its name in the request.
    public struct Field: Sendable, Equatable {
        public let name: String
        public let detail: String

        public init(_ name: String, _ detail: String) {
            self.name = name
            self.detail = detail
        }
    }

    public let code: Code
    /// For people; never holds a value of another user, SQL, or a server's own words.
    public let detail: String
    public let fields: [Field]
    /// Seconds after which trying again makes sense.
    public let retryAfter: Int?
    /// The stores that could not answer.
    public let missing: [StoreName]
    /// Names the log entry of what went wrong, where one was written that several requests may have to do with.
    public let cause: RequestID?

    public init(
        _ code: Code, _ detail: String, fields: [Field] = [], retryAfter: Int? = nil, missing: [StoreName] = [], cause: RequestID? = nil
    ) {
        self.code = code
        self.detail = detail
        self.fields = fields
        self.retryAfter = retryAfter
        self.missing = missing
        self.cause = cause
    }

    /// A request whose named inputs are wrong.
    public static func invalid(_ fields: [Field]) -> Problem {
        Problem(
            .invalidRequest, "The request has \(fields.count == 1 ? "an invalid input" : "\(fields.count) invalid inputs").", fields: fields
        )
    }

    /// Nobody is signed in, or the credential is none (any more).
    public static let unauthenticated = Problem(
        .unauthenticated, "This needs a valid access token, session cookie or service key; sign in first.")

    /// Somebody is signed in who may do this once a second factor has been shown.
    public static let secondFactorNeeded = Problem(
        .secondFactorNeeded, "This takes a second factor: enrol one, or sign in again with its code.")

    /// Somebody is signed in who may not do this.
    public static let forbidden = Problem(.forbidden, "This account or key may not do that.")

    /// The account is suspended. Said only to whoever has shown that it is theirs.
    public static let accountSuspended = Problem(.accountSuspended, "This account is suspended.")

    /// Nothing there that the caller may know of.
    public static func notFound(_ noun: String) -> Problem {
        Problem(.notFound, "There is no such \(noun).")
    }

    /// A store that the answer needs did not answer; the caller may try again.
    public static func unavailable(_ store: StoreName) -> Problem {
        Problem(.storeUnavailable, "A part of the system that this answer needs is not available.", retryAfter: 1, missing: [store])
    }

    /// More work than the gateway takes on at once.
    public static let overloaded = Problem(.overloaded, "The gateway is at its limit; try again shortly.", retryAfter: 1)

    /// Everything that should not happen. What happened goes to the log, under the request's id.
    public static let unexpected = unexpected(cause: nil)

    /// The same, of what is in the log under an id of its own, since it was not done for one request alone.
    public static func unexpected(cause: RequestID?) -> Problem {
        Problem(.internal, "The gateway could not answer. The request id names the log entry.", cause: cause)
    }
}

/// The three stores, as answers and metrics name them.
public enum StoreName: String, Sendable, CaseIterable {
    case postgres, mongo, redis
}

/// How far the parts of an answer can be trusted. Said in an answer only where something is not fresh.
public struct Sources: Sendable, Equatable {
    /// Of what age a store's part is: as it stands there, older, not there at all, or committed and still on its way there.
    public enum State: String, Sendable {
        case fresh, stale, missing, pending
    }

    public var postgres = State.fresh
    public var mongo = State.fresh
    public var redis = State.fresh

    public init(postgres: State = .fresh, mongo: State = .fresh, redis: State = .fresh) {
        self.postgres = postgres
        self.mongo = mongo
        self.redis = redis
    }

    public static let fresh = Sources()
}
