import Contract
import HTTPTypes
import NIOCore

extension HTTPEdge {
    /// Does all that needs no waiting: checks, routing, limits, the policy for a request without a credential, and the answer where its route
    /// has that at hand. The same on an event loop and on a task.
    func open(_ exchange: inout Exchange, from peer: ClientAddress) -> Opening {
        do throws(Problem) {
            return try admit(&exchange, from: peer)
        } catch {
            return .answered(refusal(error, &exchange, from: peer))
        }
    }

    private func admit(_ exchange: inout Exchange, from peer: ClientAddress) throws(Problem) -> Opening {
        try checkTarget(exchange)
        if let preflight = preflight(exchange, methods: table.allowed(at: exchange.path)) { return .answered(preflight) }
        let match = try table.match(exchange.method, exchange.path)
        exchange.route = match.index
        let route = table.routes[match.index]
        if exchange.fields.hasBody, route.body == .none { throw Problem(.bodyNotAllowed, "This request takes no body.") }
        guard let place = traffic.enter(most: route.rate == .unlimited ? .max : limits.requestsInFlight) else { throw .overloaded }
        var admission = Admission(
            match: match, address: trust.client(of: peer, forwarded: exchange.fields.forwardedFor),
            isSameSite: exchange.method.isSafe || trust.isSameSite(exchange.fields, host: exchange.head.authority ?? ""), place: place)
        if let rateLimiter, route.rate != .unlimited {
            let rate = exchange.fields.rate(of: route.rate)
            guard case .admitted(let state) = try rateLimiter.admitLocally(rate, address: admission.address) else {
                return .waiting(admission)
            }
            exchange.rate = state
        }
        admission.isCounted = true
        guard !presentsCredential(exchange, to: route) else { return .waiting(admission) }
        try authorise(&exchange, for: route)
        admission.isAuthorised = true
        guard let shortcut = route.shortcut, !exchange.fields.hasBody else { return .waiting(admission) }
        var call = call(exchange, admission)
        guard let reply = try shortcut(&call) else { return .waiting(admission) }
        exchange.clock = call.clock
        return .answered(reply)
    }

    /// What watches the gateway is answered whoever asks, whether or not it can be known who that is.
    func presentsCredential(_ exchange: Exchange, to route: Route) -> Bool {
        let isWatch = route.rate == .unlimited && route.policy == .anyone
        return !isWatch && (exchange.fields.authorization != nil || exchange.fields.cookie != nil)
    }

    func authorise(_ exchange: inout Exchange, for route: Route) throws(Problem) {
        switch route.policy.decide(exchange.principal) {
        case .allowed: exchange.clock.mark(.authorise)
        case .signInNeeded: throw .unauthenticated
        case .secondFactorNeeded: throw .secondFactorNeeded
        case .forbidden: throw .forbidden
        }
    }

    /// The request as its route's handler sees it.
    func call(_ exchange: Exchange, _ admission: Admission, body: ByteBuffer = ByteBuffer()) -> Call {
        Call(
            id: exchange.id, principal: exchange.principal, parameters: admission.match.parameters,
            bypassesCache: exchange.fields.bypassesCache, isSameSite: admission.isSameSite, clock: exchange.clock,
            address: admission.address, transport: exchange.transport, target: exchange.target, rawQuery: exchange.query,
            rawBody: body, fields: exchange.head.headerFields)
    }

    /// Whether nothing may follow the answer on its connection, as far as its header and the gateway's state say. What comes after a CONNECT
    /// or an offer of another protocol is not read, though neither is taken: it may be no HTTP any more.
    func isLast(_ exchange: Exchange) -> Bool {
        exchange.fields.asksToClose || exchange.fields.offersUpgrade || exchange.head.method == .connect || traffic.isDraining
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
}

extension HTTPRequest.Method {
    /// Whether it changes nothing (RFC 9110 §9.2.1).
    var isSafe: Bool { self == .get || self == .head || self == .options }
}
