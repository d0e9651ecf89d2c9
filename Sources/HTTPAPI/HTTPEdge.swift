import Contract
import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Everything between the socket and the handlers: checks that need no route, routing, limits, credentials, policies, bodies and
/// problems. A handler's answer or problem goes out through one place, `answer(_:with:)`.
public struct HTTPEdge: Sendable {
    typealias Writer = NIOAsyncChannelOutboundWriter<HTTPResponsePart>

    let trust: EdgeTrust
    let date = DateField()
    let table: RouteTable
    let limits: EdgeLimits
    let observer: any Observer
    let keys: (any IdempotencyKeys)?
    private let authenticator: (any Authenticator)?
    let rateLimiter: (any RateLimiter)?
    private let refusals: (any RefusalWatch)?
    let traffic = Traffic()

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
    public var requestsInFlight: Int { traffic.count }

    /// `https` where the gateway itself speaks TLS.
    public var scheme: String { trust.isSecure ? "https" : "http" }

    /// From here on every answer is the last one on its connection, and says so: when the server closes, no client is about to ask.
    public func drain() { traffic.drain() }

    // MARK: The parts of answering that may wait

    /// Answers one request whose header is `part`, and says whether another may follow on its connection. Throws only where the connection
    /// is gone.
    func respond(to part: RequestPart, _ parts: inout RequestParts, _ writer: Writer, on connection: Connection) async throws -> Bool {
        var exchange: Exchange
        let opening: Opening
        switch part {
        case .admitted(let admitted, let admission): (exchange, opening) = (admitted, .waiting(admission))
        case .head(let head):
            exchange = head
            // What came before it on its connection has taken its own time.
            exchange.clock = StageClock()
            opening = open(&exchange, from: connection.peer)
        case .body, .end: return true
        }
        guard connection.begin(exchange.id) else { return false }
        let reply: Reply
        switch opening {
        case .answered(let answer): reply = answer
        case .waiting(let admission):
            do throws(Problem) {
                reply = try await handle(&exchange, admission, &parts, writer)
            } catch {
                reply = refusal(error, &exchange, from: connection.peer)
            }
        }
        exchange.closes = isLast(exchange) || exchange.fields.hasBody && parts.isUnfinished
        if exchange.closes { connection.part() }
        let isLate = connection.isLate
        let (response, body) = conclude(&exchange, with: reply, isLate: isLate)
        guard !isLate else { return false }
        if let body {
            try await writer.write(contentsOf: [.head(response), .body(body), .end(nil)])
        } else {
            try await writer.write(contentsOf: [.head(response), .end(nil)])
        }
        return !exchange.closes
    }

    /// What is left to do for a request that has been let in.
    private func handle(
        _ exchange: inout Exchange, _ admission: Admission, _ parts: inout RequestParts, _ writer: Writer
    ) async throws(Problem) -> Reply {
        // Not until the answer is read: whoever does not read would keep others out.
        defer { admission.place.leave() }
        let route = table.routes[admission.match.index]
        if !admission.isCounted, let rateLimiter {
            exchange.rate = try await rateLimiter.admit(exchange.fields.rate(of: route.rate), address: admission.address)
        }
        if !admission.isAuthorised {
            if presentsCredential(exchange, to: route) {
                try await authenticate(&exchange, on: route, isSameSite: admission.isSameSite, from: admission.address)
            }
            try authorise(&exchange, for: route)
        }
        var body = ByteBuffer()
        if exchange.fields.hasBody, case .json(let limit) = route.body {
            body = try await readBody(exchange.fields, limit: limit, &parts, writer)
        }
        var call = call(exchange, admission, body: body)
        defer { exchange.clock = call.clock }
        return try await carryOut(route, &call)
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

    // MARK: What every answer goes through

    /// Completes an answer, and says that it is given.
    func conclude(_ exchange: inout Exchange, with reply: Reply, isLate: Bool = false) -> (HTTPResponse, ByteBuffer?) {
        let (response, body) = answer(&exchange, with: reply)
        if isLate { concludeLate(exchange) } else { observe(exchange, response.status) }
        return (response, body)
    }

    /// Says that an answer was given past the handler.
    func concludeLate(_ exchange: Exchange) {
        var exchange = exchange
        exchange.problem = .timeout
        observe(exchange, ProblemMapper.status(.timeout))
    }

    private func observe(_ exchange: Exchange, _ status: HTTPResponse.Status) {
        observer.observe(
            .request(
                route: exchange.route ?? -1, method: exchange.head.method.rawValue, path: String(exchange.path.prefix(200)),
                status: status.code, microseconds: exchange.clock.elapsedMicroseconds, id: exchange.id, problem: exchange.problem,
                cause: exchange.cause))
    }

    /// The answer that a problem is.
    func refusal(_ problem: Problem, _ exchange: inout Exchange, from peer: ClientAddress) -> Reply {
        exchange.problem = problem.code
        exchange.cause = problem.cause
        note(problem.code, exchange, from: peer)
        var reply = ProblemMapper.reply(problem, id: exchange.id)
        switch problem.code {
        case .methodNotAllowed: reply.extraFields.append((.allow, table.allowed(at: exchange.path)))
        case .unauthenticated: reply.extraFields.append((.wwwAuthenticate, exchange.challenge))
        // Says that it was the coding, not the type (RFC 9110 §15.5.16).
        case .unsupportedMediaType where Self.isEncoded(exchange.fields): reply.extraFields.append((.acceptEncoding, "identity"))
        default: break
        }
        return reply
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
}

extension RateLimiter {
    /// Waits only where this process cannot say by itself.
    fileprivate func count(_ rateClass: RateClass, principal: Principal, address: ClientAddress) async throws(Problem) -> RateState? {
        if case .admitted(let state) = try admitLocally(rateClass, principal: principal, address: address) { return state }
        return try await admit(rateClass, principal: principal, address: address)
    }
}
