import Contract
import HTTPTypes
import HummingbirdCore
import NIOCore
import Synchronization

/// Everything between the socket and the handlers: checks that need no route, routing, problems, and the header fields
/// that every answer has. A handler's answer or problem goes out through one place, `finish`.
public struct HTTPEdge: Sendable {
    private let table: RouteTable
    private let limits: EdgeLimits
    private let observer: any Observer
    private let traffic = Traffic()
    private let date = DateField()

    private final class Traffic: Sendable {
        let inFlight = Atomic<Int>(0)
        let isDraining = Atomic(false)
    }

    public init(table: RouteTable, limits: EdgeLimits, observer: any Observer) {
        self.table = table
        self.limits = limits
        self.observer = observer
    }

    /// Requests being worked on, for metrics.
    public var requestsInFlight: Int { traffic.inFlight.load(ordering: .relaxed) }

    /// From here on every answer is the last one on its connection, and says so: when the server closes, no client is about to ask.
    public func drain() { traffic.isDraining.store(true, ordering: .relaxed) }

    /// Answers one request. Throws only where the connection is gone.
    func respond(to request: Request, _ writer: consuming ResponseWriter, on channel: any Channel) async throws {
        var clock = StageClock()
        let id = RequestID()
        let method = request.method == .head ? .get : request.method
        var index: Int?
        var problem: Problem.Code?
        var reply: Reply
        let hasBody = Self.hasBody(request)
        do throws(Problem) {
            try checkTarget(request)
            let match = try table.match(method, Self.path(request.head.path ?? ""))
            index = match.index
            if hasBody { throw Problem(.bodyNotAllowed, "This request takes no body.") }
            let route = table.routes[match.index]
            let inFlight = traffic.inFlight.wrappingAdd(1, ordering: .relaxed).newValue
            defer { traffic.inFlight.wrappingSubtract(1, ordering: .relaxed) }
            guard route.isProbe || inFlight <= limits.requestsInFlight else { throw .overloaded }
            let principal = Principal.anonymous
            guard route.policy.allows(principal) else { throw .notFound("resource") }
            clock.mark(.authorise)
            var call = Call(
                id: id, principal: principal, parameters: match.parameters, bypassesCache: Self.bypassesCache(request), clock: clock,
                rawQuery: Self.query(request.head.path ?? ""))
            defer { clock = call.clock }
            reply = try await route.handler(&call)
        } catch {
            problem = error.code
            reply = ProblemMapper.reply(error, id: id)
            if error.code == .methodNotAllowed {
                reply.extraFields.append((.allow, table.allowed(at: Self.path(request.head.path ?? ""))))
            }
        }
        let closes = hasBody || Self.asksToClose(request) || traffic.isDraining.load(ordering: .relaxed)
        let (head, body) = finish(reply, request, id: id, clock: &clock, closes: closes)
        observer.observe(
            .request(
                route: index ?? -1, method: request.method.rawValue, path: String(Self.path(request.head.path ?? "").prefix(200)),
                status: head.status.code, microseconds: clock.elapsedMicroseconds, id: id, problem: problem))
        try await writer.write(response: head, body: body)
        if closes { try await close(channel, after: request) }
    }

    /// Says that no more comes once the answer is out, and then leaves it to the client to close (RFC 9112 §9.6): a server that closes
    /// at once drops what the network has not taken yet, and with bytes of a body unread the system resets the connection, so that the
    /// client may never see the answer. `ConnectionGuard` bounds the rest of the body, and the idle time the wait.
    private func close(_ channel: any Channel, after request: Request) async throws {
        channel.close(mode: .output, promise: nil)
        for try await _ in request.body {}
        try await channel.closeFuture.get()
    }

    // MARK: Before the handler

    private func checkTarget(_ request: Request) throws(Problem) {
        // HTTPRequest keeps the first Host as its authority; a second one stays among the fields.
        guard let authority = request.head.authority, Self.isHost(authority), !request.headers.contains(.host) else {
            throw Problem(.invalidHost, "A request names exactly one host in its Host field.")
        }
        let path = request.head.path ?? ""
        guard path.utf8.count <= limits.path else { throw Problem(.uriTooLong, "The path and query take more than \(limits.path) bytes.") }
        guard path.utf8.first == UInt8(ascii: "/") else { throw Problem(.invalidRequest, "The request target must be a path.") }
    }

    private static func hasBody(_ request: Request) -> Bool {
        request.headers.contains(.transferEncoding) || request.headers[.contentLength].map { $0 != "0" } ?? false
    }

    private static func asksToClose(_ request: Request) -> Bool {
        guard let field = request.headers[.connection] else { return false }
        return field.split { $0 == "," || $0 == " " }.contains { $0.lowercased() == "close" }
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

    // Bytes, not characters: finding where characters end costs more than all the rest of routing.
    private static func path(_ target: String) -> Substring {
        target[..<(target.utf8.firstIndex(of: UInt8(ascii: "?")) ?? target.endIndex)]
    }

    private static func query(_ target: String) -> Substring {
        guard let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return "" }
        return target[target.index(after: mark)...]
    }

    private static func bypassesCache(_ request: Request) -> Bool {
        guard let field = request.headers[.cacheControl] else { return false }
        return field.contains("no-cache") || field.contains("no-store")
    }

    // MARK: After the handler

    private func finish(
        _ reply: Reply, _ request: Request, id: RequestID, clock: inout StageClock, closes: Bool
    ) -> (HTTPResponse, ResponseBody) {
        var fields = HTTPFields()
        fields.reserveCapacity(12)
        fields.append(HTTPField(name: .date, value: date.now))
        fields.append(HTTPField(name: .requestID, value: id.description))
        fields.append(HTTPField(name: .cacheControl, value: reply.cacheControl.rawValue))
        fields.append(HTTPField(name: .xContentTypeOptions, value: "nosniff"))
        if let etag = reply.etag { fields.append(HTTPField(name: .eTag, value: etag)) }
        if let tier = reply.tier { fields.append(HTTPField(name: .xCache, value: tier.rawValue)) }
        for (name, value) in reply.extraFields { fields.append(HTTPField(name: name, value: value)) }
        if closes { fields.append(HTTPField(name: .connection, value: "close")) }
        clock.mark(.respond)
        fields.append(HTTPField(name: .serverTiming, value: clock.serverTiming))
        if let etag = reply.etag, let known = request.headers[.ifNoneMatch], Self.matches(known, etag) {
            return (HTTPResponse(status: .notModified, headerFields: fields), ResponseBody())
        }
        fields.append(HTTPField(name: .contentType, value: reply.contentType))
        fields.append(HTTPField(name: .contentLength, value: String(reply.body.readableBytes)))
        let body = request.method == .head ? ResponseBody() : ResponseBody(byteBuffer: reply.body)
        return (HTTPResponse(status: reply.status, headerFields: fields), body)
    }

    /// If-None-Match compares weakly (RFC 9110 §13.1.2).
    private static func matches(_ field: String, _ etag: String) -> Bool {
        if field == etag || field == "*" { return true }
        return field.split(separator: ",").contains { tag in
            let tag = tag.drop { $0 == " " }
            return (tag.hasPrefix("W/") ? tag.dropFirst(2) : tag).prefix { $0 != " " } == etag
        }
    }
}
