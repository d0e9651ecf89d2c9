/// Where a request comes from: what its address, its headers and its credential say. What they are worth is for others to judge.
public struct Caller: Sendable, Hashable {
    /// The client's address; that of a proxy's client only where the proxy is one of those that are configured.
    public let address: ClientAddress
    /// At most 255 characters, no control characters; empty where the client said nothing.
    public let userAgent: String
    /// How the request was signed, if it was.
    public let transport: Transport?
    /// The request, as answers and logs name it; nil for what no request asked for.
    public let request: RequestID?

    /// How a credential came.
    public enum Transport: String, Sendable {
        /// `Authorization: Bearer`, a token of ours, of a trusted issuer, or a service key.
        case bearer
        /// The session's cookie.
        case cookie
    }

    public init(address: ClientAddress, userAgent: String, transport: Transport?, request: RequestID? = nil) {
        self.address = address
        self.userAgent = userAgent
        self.transport = transport
        self.request = request
    }
}

/// The secret that a request presents. Has no description, so that no log can hold one.
public struct PresentedCredential: Sendable, CustomStringConvertible, CustomReflectable {
    public let transport: Caller.Transport
    public let secret: String

    public init(transport: Caller.Transport, secret: String) {
        self.transport = transport
        self.secret = secret
    }

    public var description: String { "a credential" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Finds out who a request comes from. The HTTP edge asks, the identity feature answers.
public protocol Authenticator: Sendable {
    /// Throws `unauthenticated` where the credential is none (any more), `accountSuspended` where its account is, and
    /// `storeUnavailable` where Postgres does not answer: nobody is ever taken for anonymous because a store is away.
    func principal(for credential: PresentedCredential) async throws(Problem) -> Principal
}
