import Contract
import HTTPTypes
import NIOCore

/// One operation of the API: a row of the route table.
public struct Route: Sendable {
    public typealias Handler = @Sendable (inout Call) async throws(Problem) -> Reply

    public let method: HTTPRequest.Method
    /// As `openapi.yaml` writes it: `/api/beats/{id}`. A literal part wins over a parameter.
    public let path: String
    /// Who may call it.
    public let policy: Policy
    /// Whether it is answered at any load: what watches the gateway must not take a busy one for a dead one.
    public let isProbe: Bool
    let handler: Handler

    public init(
        _ method: HTTPRequest.Method, _ path: String, _ policy: Policy, isProbe: Bool = false, _ handler: @escaping Handler
    ) {
        self.isProbe = isProbe
        self.method = method
        self.path = path
        self.policy = policy
        self.handler = handler
    }

    public static func get(_ path: String, _ policy: Policy, isProbe: Bool = false, _ handler: @escaping Handler) -> Route {
        Route(.get, path, policy, isProbe: isProbe, handler)
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
    /// Ends a stage of the read path; the edge reads the result.
    public var clock: StageClock

    let rawQuery: Substring

    public func parameter(_ name: Substring) -> String { parameters[name] ?? "" }

    /// The query's parameters. Throws where one is not in `allowed`, stands twice, or is not valid percent-encoded UTF-8.
    public func query(allowed: [String]) throws(Problem) -> QueryParameters {
        try QueryParameters(rawQuery, allowed: allowed)
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

    public enum CacheControl: String, Sendable {
        /// May be kept, must be asked about each time: what changes without notice.
        case revalidate = "public, no-cache"
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

    public static func json(_ bytes: [UInt8], etag: String? = nil, tier: CacheTier? = nil) -> Reply {
        Reply(body: ByteBuffer(bytes: bytes), etag: etag, cacheControl: etag == nil ? .never : .revalidate, tier: tier)
    }
}
