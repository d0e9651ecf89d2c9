import Contract
import HTTPTypes
import NIOCore

/// One request on its way through a handler.
public struct Call: Sendable {
    /// Names the request in answers and logs.
    public let id: RequestID
    /// Who asks.
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

    /// A path parameter, percent-decoded; empty where the path has none of that name.
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
