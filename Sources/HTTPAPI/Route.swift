import Contract
import HTTPTypes

/// One operation of the API: a row of the route table.
public struct Route: Sendable {
    /// Answers one request; what it throws goes out as a problem document.
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

    /// Which body a request may bring.
    public enum BodyRule: Sendable, Hashable {
        /// A request with a body is refused.
        case none
        /// One JSON object of at most so many bytes; none at all reads as an empty object.
        case json(limit: Int)

        /// 64 KiB.
        public static let json = BodyRule.json(limit: 64 << 10)
    }

    /// What an `Idempotency-Key` means to the route (docs/idempotency.md).
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

    /// A read. `HEAD` is answered by it as well.
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

    /// A change that does the same the second time.
    public static func put(_ path: String, _ policy: Policy, body: BodyRule = .json, _ handler: @escaping Handler) -> Route {
        Route(.put, path, policy, rate: .write, body: body, handler)
    }

    /// A change of parts that does the same the second time.
    public static func patch(_ path: String, _ policy: Policy, body: BodyRule = .json, _ handler: @escaping Handler) -> Route {
        Route(.patch, path, policy, rate: .write, body: body, handler)
    }

    /// A removal; takes no body.
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
