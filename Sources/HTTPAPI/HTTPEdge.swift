import Contract
import HTTPTypes
import NIOCore
import NIOHTTPTypes
import Synchronization

/// Everything between the socket and the handlers: checks that need no route, routing, limits, credentials, policies, bodies and
/// problems. A handler's answer or problem goes out through one place, `answer(_:with:)`.
public struct HTTPEdge: Sendable {
    typealias Writer = NIOAsyncChannelOutboundWriter<HTTPResponsePart>

    let trust: EdgeTrust
    let date = DateField()
    private let table: RouteTable
    let limits: EdgeLimits
    let observer: any Observer
    let keys: (any IdempotencyKeys)?
    private let authenticator: (any Authenticator)?
    private let rateLimiter: (any RateLimiter)?
    private let refusals: (any RefusalWatch)?
    private let traffic = Traffic()

    private final class Traffic: Sendable {
        let inFlight = Atomic<Int>(0)
        let isDraining = Atomic(false)
    }

    /// Without an `authenticator` no credential counts for anything; without a `rateLimiter` nothing is counted; without `keys` no
    /// request has an `Idempotency-Key`.
    public init(
        table: RouteTable, limits: EdgeLimits, observer: any Observer, trust: EdgeTrust = EdgeTrust(),
        authenticator: (any Authenticator)? = nil, rateLimiter: (any RateLimiter)? = nil, refusals: (any RefusalWatch)? = nil,
        keys: (any IdempotencyKeys)? = nil
    ) {
        self.table = table
        self.limits = limits
        self.observer = observer
        self.trust = trust
        self.authenticator = authenticator
        self.rateLimiter = rateLimiter
        self.refusals = refusals
        self.keys = keys
    }

    /// Requests being worked on, for metrics.
    public var requestsInFlight: Int { traffic.inFlight.load(ordering: .relaxed) }

    /// `https` where the gateway itself speaks TLS.
    public var scheme: String { trust.isSecure ? "https" : "http" }

    /// From here on every answer is the last one on its connection, and says so: when the server closes, no client is about to ask.
    public func drain() { traffic.isDraining.store(true, ordering: .relaxed) }

    /// Answers one request, and says whether another may follow on its connection. Throws only where the connection is gone.
    func respond(to head: HTTPRequest, _ parts: inout RequestParts, _ writer: Writer, on connection: Connection) async throws -> Bool {
        var exchange = Exchange(head)
        connection.begin(exchange.id)
        var reply: Reply
        do throws(Problem) {
            reply = try await handle(&exchange, &parts, writer, from: connection.peer)
        } catch {
            exchange.problem = error.code
            exchange.cause = error.cause
            note(error.code, exchange, from: connection.peer)
            reply = ProblemMapper.reply(error, id: exchange.id)
            switch error.code {
            case .methodNotAllowed: reply.extraFields.append((.allow, table.allowed(at: exchange.path)))
            case .unauthenticated: reply.extraFields.append((.wwwAuthenticate, exchange.challenge))
            default: break
            }
        }
        exchange.closes =
            exchange.fields.hasBody && parts.isUnfinished || exchange.fields.asksToClose || traffic.isDraining.load(ordering: .relaxed)
        let isLate = connection.isLate
        if isLate { exchange.problem = .timeout }
        let (response, body) = answer(&exchange, with: reply)
        observer.observe(
            .request(
                route: exchange.route ?? -1, method: head.method.rawValue, path: String(exchange.path.prefix(200)),
                status: isLate ? ProblemMapper.status(.timeout).code : response.status.code,
                microseconds: exchange.clock.elapsedMicroseconds, id: exchange.id, problem: exchange.problem,
                cause: exchange.cause))
        guard !isLate else { return false }
        if let body {
            try await writer.write(contentsOf: [.head(response), .body(body), .end(nil)])
        } else {
            try await writer.write(contentsOf: [.head(response), .end(nil)])
        }
        return !exchange.closes
    }

    // MARK: From the header to the handler

    private func handle(
        _ exchange: inout Exchange, _ parts: inout RequestParts, _ writer: Writer, from peer: ClientAddress
    ) async throws(Problem) -> Reply {
        try checkTarget(exchange)
        if let preflight = preflight(exchange, methods: table.allowed(at: exchange.path)) { return preflight }
        let match = try table.match(exchange.method, exchange.path)
        exchange.route = match.index
        let route = table.routes[match.index]
        if exchange.fields.hasBody, route.body == .none { throw Problem(.bodyNotAllowed, "This request takes no body.") }
        let inFlight = traffic.inFlight.wrappingAdd(1, ordering: .relaxed).newValue
        defer { traffic.inFlight.wrappingSubtract(1, ordering: .relaxed) }
        guard route.rate == .unlimited || inFlight <= limits.requestsInFlight else { throw .overloaded }

        let address = trust.client(of: peer, forwarded: exchange.fields.forwardedFor)
        if let rateLimiter, route.rate != .unlimited {
            exchange.rate = try await rateLimiter.count(exchange.fields.rate(of: route.rate), address: address)
        }
        let isSameSite = exchange.method.isSafe || trust.isSameSite(exchange.fields, host: exchange.head.authority ?? "")
        // What watches the gateway is answered whoever asks, whether or not it can be known who that is.
        let isWatch = route.rate == .unlimited && route.policy == .anyone
        if !isWatch, exchange.fields.authorization != nil || exchange.fields.cookie != nil {
            try await authenticate(&exchange, on: route, isSameSite: isSameSite, from: address)
        }
        switch route.policy.decide(exchange.principal) {
        case .allowed: break
        case .signInNeeded: throw .unauthenticated
        case .secondFactorNeeded: throw .secondFactorNeeded
        case .forbidden: throw .forbidden
        }
        exchange.clock.mark(.authorise)
        var body = ByteBuffer()
        if exchange.fields.hasBody, case .json(let limit) = route.body {
            body = try await readBody(exchange.fields, limit: limit, &parts, writer)
        }
        var call = Call(
            id: exchange.id, principal: exchange.principal, parameters: match.parameters, bypassesCache: exchange.fields.bypassesCache,
            isSameSite: isSameSite, clock: exchange.clock, address: address, transport: exchange.transport, target: exchange.target,
            rawQuery: exchange.query, rawBody: body, fields: exchange.head.headerFields)
        defer { exchange.clock = call.clock }
        return try await carryOut(route, &call)
    }

    /// Says that a request was refused for who sent it, or for how many.
    private func note(_ code: Problem.Code, _ exchange: Exchange, from peer: ClientAddress) {
        guard let refusals else { return }
        let refusal: Refusal
        switch code {
        case .rateLimited: refusal = .rateLimited
        case .unauthenticated where exchange.fields.authorization != nil || exchange.transport != nil: refusal = .deadCredential
        default: return
        }
        let address = trust.client(of: peer, forwarded: exchange.fields.forwardedFor)
        let caller = Caller(address: address, fields: exchange.head.headerFields, transport: exchange.transport, request: exchange.id)
        refusals.refused(refusal, caller, route: exchange.route.map { table.routes[$0].name })
    }

    private func checkTarget(_ exchange: Exchange) throws(Problem) {
        // HTTPRequest keeps the first Host as its authority; a second one stays among the fields.
        guard let authority = exchange.head.authority, Self.isHost(authority), !exchange.fields.hasHost else {
            throw Problem(.invalidHost, "A request names exactly one host in its Host field.")
        }
        guard trust.isKnown(host: authority) else { throw Problem(.invalidHost, "The gateway does not go by that name.") }
        guard exchange.target.utf8.count <= limits.path else {
            throw Problem(.uriTooLong, "The path and query take more than \(limits.path) bytes.")
        }
        guard exchange.target.utf8.first == UInt8(ascii: "/") else {
            throw Problem(.invalidRequest, "The request target must be a path.")
        }
    }

    /// Host and optional port: letters, digits and the few signs that names, addresses and ports are made of.
    private static func isHost(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 255
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"):
                    true
                default: false
                }
            }
    }

    /// Finds out on whose behalf a request comes that brings a credential.
    private func authenticate(
        _ exchange: inout Exchange, on route: Route, isSameSite: Bool, from address: ClientAddress
    ) async throws(Problem) {
        if !isSameSite, PresentedCredential.isCookieSigned(exchange.fields) {
            throw Problem(.crossSite, "A request that a cookie signs must come from the site itself.")
        }
        do throws(Problem) {
            guard let credential = try PresentedCredential.read(exchange.fields) else { return }
            exchange.transport = credential.transport
            guard let authenticator else { throw .unauthenticated }
            exchange.principal = try await authenticator.principal(for: credential)
        } catch {
            guard route.toleratesDeadCredentials, error.code == .unauthenticated || error.code == .accountSuspended else { throw error }
            exchange.transport = nil
        }
        if let rateLimiter, route.rate != .unlimited, exchange.principal != .anonymous {
            let rate = exchange.fields.rate(of: route.rate)
            exchange.rate = try await rateLimiter.count(rate, principal: exchange.principal, address: address) ?? exchange.rate
        }
    }
}

extension HTTPRequest.Method {
    /// Whether it changes nothing (RFC 9110 §9.2.1).
    var isSafe: Bool { self == .get || self == .head || self == .options }
}

extension RateLimiter {
    /// Waits only where this process cannot say by itself.
    fileprivate func count(_ rateClass: RateClass, address: ClientAddress) async throws(Problem) -> RateState? {
        if case .admitted(let state) = try admitLocally(rateClass, address: address) { return state }
        return try await admit(rateClass, address: address)
    }

    fileprivate func count(_ rateClass: RateClass, principal: Principal, address: ClientAddress) async throws(Problem) -> RateState? {
        if case .admitted(let state) = try admitLocally(rateClass, principal: principal, address: address) { return state }
        return try await admit(rateClass, principal: principal, address: address)
    }
}
