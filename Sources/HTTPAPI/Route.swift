import Contract
import HTTPTypes
import NIOCore

/// One operation of the API: a row of the route table.
public struct Route: Sendable {
    public typealias Handler = @Sendable (inout Call) async throws(Problem) -> Reply
    /// Answers from what this process has at hand; nil where that takes waiting.
    public typealias Shortcut = @Sendable (inout Call) throws(Problem) -> Reply?

    public let method: HTTPRequest.Method
    /// As `openapi.yaml` writes it: `/api/beats/{id}`. A literal part wins over a parameter.
    public let path: String
    /// Who may call it.
    public let policy: Policy
    /// What it counts as for rate limits. What is `unlimited` is answered at any load, too: what watches the gateway must not take a
    /// busy one for a dead one.
    public let rate: RateClass
    public let body: BodyRule
    /// What an `Idempotency-Key` means to it.
    public let idempotency: Idempotency
    /// Whether a credential that counts for nothing any more is taken for none. Elsewhere such a request is refused, so that its client
    /// refreshes instead of being taken for anonymous; on the way to a new credential the old one is no obstacle.
    public private(set) var toleratesDeadCredentials = false
    private(set) var shortcut: Shortcut?
    let handler: Handler

    public enum BodyRule: Sendable, Hashable {
        /// A request with a body is refused.
        case none
        /// One JSON object of at most so many bytes; none at all reads as an empty object.
        case json(limit: Int)

        public static let json = BodyRule.json(limit: 64 << 10)
    }

    public enum Idempotency: Sendable, Hashable {
        /// A request has a key, and is carried out once: for whatever moves money.
        case required
        /// A request that has a key is carried out once.
        case honoured
        /// Keys mean nothing: doing it again changes nothing, or the answer holds a secret and is not kept for anybody.
        case ignored
    }

    public init(
        _ method: HTTPRequest.Method, _ path: String, _ policy: Policy, rate: RateClass, body: BodyRule,
        idempotency: Idempotency = .ignored, _ handler: @escaping Handler
    ) {
        self.method = method
        self.path = path
        self.policy = policy
        self.rate = rate
        self.body = body
        self.idempotency = idempotency
        self.handler = handler
    }

    public static func get(_ path: String, _ policy: Policy, rate: RateClass = .read, _ handler: @escaping Handler) -> Route {
        Route(.get, path, policy, rate: rate, body: .none, handler)
    }

    /// Keys are honoured unless `idempotency` says otherwise, or nobody needs to be signed in: whose keys would they be?
    public static func post(
        _ path: String, _ policy: Policy, rate: RateClass = .write, body: BodyRule = .json, idempotency: Idempotency? = nil,
        _ handler: @escaping Handler
    ) -> Route {
        Route(
            .post, path, policy, rate: rate, body: body, idempotency: idempotency ?? (policy == .anyone ? .ignored : .honoured), handler)
    }

    public static func put(_ path: String, _ policy: Policy, body: BodyRule = .json, _ handler: @escaping Handler) -> Route {
        Route(.put, path, policy, rate: .write, body: body, handler)
    }

    public static func patch(_ path: String, _ policy: Policy, body: BodyRule = .json, _ handler: @escaping Handler) -> Route {
        Route(.patch, path, policy, rate: .write, body: body, handler)
    }

    public static func delete(_ path: String, _ policy: Policy, _ handler: @escaping Handler) -> Route {
        Route(.delete, path, policy, rate: .write, body: .none, handler)
    }

    /// The same route, open to those whose credential has expired.
    public var toleratingDeadCredentials: Route {
        var route = self
        route.toleratesDeadCredentials = true
        return route
    }

    /// The same route, which asks `shortcut` before its handler. That runs on an event loop, so it neither blocks nor looks at much; and only
    /// for requests without a credential or a body, since finding out about those takes waiting.
    public func first(_ shortcut: @escaping Shortcut) -> Route {
        var route = self
        route.shortcut = shortcut
        return route
    }

    /// `GET /api/beats/{id}`: how metrics and logs name it.
    public var name: String { "\(method.rawValue) \(path)" }
}

/// One request on its way through a handler.
public struct Call: Sendable {
    public let id: RequestID
    public let principal: Principal
    /// Percent-decoded path parameters, by their names in the route's path.
    public let parameters: [Substring: String]
    /// Whether the client asked to be served past every cache (`Cache-Control: no-cache`).
    public let bypassesCache: Bool
    /// Whether a page of the gateway's own site made it, or of one that is trusted as much; true for what only reads. The edge refuses
    /// whatever a cookie signs from elsewhere; what sets cookies for the first time has to ask.
    public let isSameSite: Bool
    /// Ends a stage of the read path; the edge reads the result.
    public var clock: StageClock
    /// The right to carry the request out, where it has a key that counts: for the transaction that does so, which sets its mark. Where it
    /// was carried out before, the handler changes nothing, and answers how things are now.
    public internal(set) var claim: IdempotencyClaim?

    let address: ClientAddress
    let transport: Caller.Transport?
    /// The path and the query, as they were sent.
    let target: String
    let rawQuery: Substring
    let rawBody: ByteBuffer
    let fields: HTTPFields

    /// Where the request comes from, for sessions and for the audit log.
    public var caller: Caller { Caller(address: address, fields: fields, transport: transport, request: id) }

    /// The id of what the request makes. One that is resumed has the id that it had: that is what it made if it was carried out.
    public func idToMake() -> EntityID { claim?.effect ?? .now }

    /// The value of a cookie; nil where it is absent, stands twice, or is longer than any of ours.
    public func cookie(_ name: String) -> String? {
        guard let field = fields[.cookie], case .value(let value) = CookieField.find(name, in: field) else { return nil }
        return value.isEmpty || value.utf8.count > PresentedCredential.longest ? nil : value
    }

    public func parameter(_ name: Substring) -> String { parameters[name] ?? "" }

    /// The account that acts. Throws `unauthenticated` where none does: behind a policy that takes an account, never.
    public func account() throws(Problem) -> Account {
        guard let account = principal.account else { throw .unauthenticated }
        return account
    }

    /// The id that a path parameter is. Throws `notFound` where it is none, since nothing has such a name.
    public func id(_ name: Substring, of noun: String) throws(Problem) -> EntityID {
        guard let id = EntityID(parameter(name)) else { throw .notFound(noun) }
        return id
    }

    /// A header field that means something to one route: `Idempotency-Key`, `If-Match`.
    public func field(_ name: HTTPField.Name) -> String? { fields[name] }

    /// The body's members. Throws `invalidBody`, or `invalid` where one is not in `allowed`.
    public func input(allowed: [String]) throws(Problem) -> BodyInput { try BodyInput(rawBody, allowed: allowed) }

    /// The query's parameters. Throws where one is not in `allowed`, unless others may add some of their own; where one stands twice, or
    /// is not valid percent-encoded UTF-8.
    public func query(allowed: [String], ignoringOthers: Bool = false) throws(Problem) -> QueryParameters {
        try QueryParameters(rawQuery, allowed: allowed, ignoringOthers: ignoringOthers)
    }
}

extension Caller {
    init(address: ClientAddress, fields: HTTPFields, transport: Transport?, request: RequestID) {
        let agent = (fields[.userAgent] ?? "").unicodeScalars.lazy.filter { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
        self.init(
            address: address, userAgent: String(String.UnicodeScalarView(agent.prefix(255))), transport: transport, request: request)
    }
}

/// What a handler answers. The edge adds the rest: request id, `Server-Timing`, `304` where the client has it already.
public struct Reply: Sendable {
    public var status: HTTPResponse.Status
    public var contentType: String
    public var body: ByteBuffer
    /// A strong entity tag in its quotes.
    public var etag: String?
    /// How long and by whom the answer may be kept.
    public var cacheControl: CacheControl
    /// The tier that a cached read came from.
    public var tier: CacheTier?
    public var extraFields: [(HTTPField.Name, String)]
    public var cookies: [SetCookie] = []

    public enum CacheControl: String, Sendable {
        /// May be kept, must be asked about each time: what changes without notice.
        case revalidate = "public, no-cache"
        /// May be kept for a minute: what is announced longer than that before it counts.
        case minute = "public, max-age=60"
        /// Never kept.
        case never = "no-store"
    }

    public init(
        status: HTTPResponse.Status = .ok, contentType: String = "application/json", body: ByteBuffer, etag: String? = nil,
        cacheControl: CacheControl = .never, tier: CacheTier? = nil, extraFields: [(HTTPField.Name, String)] = []
    ) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.etag = etag
        self.cacheControl = cacheControl
        self.tier = tier
        self.extraFields = extraFields
    }

    /// 204: done, and nothing to say.
    public static let done = Reply(status: .noContent, body: ByteBuffer())

    public static func json(_ bytes: [UInt8], etag: String? = nil, tier: CacheTier? = nil) -> Reply {
        Reply(body: ByteBuffer(bytes: bytes), etag: etag, cacheControl: etag == nil ? .never : .revalidate, tier: tier)
    }
}
