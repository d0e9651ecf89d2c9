import Contract
import Credentials
import Crypto
import DataPlane

/// Sign-in at OpenID providers, and joining their identities to accounts.
///
/// A browser leaves for a provider with a state that counts once, for ten minutes, and only together with a cookie of that browser: an
/// answer that somebody else asked for signs nobody in (RFC 9700 §4.7).
public final class OpenIDSignIn: Sendable {
    /// What it is made of.
    public struct Tools: Sendable {
        let postgres: PostgresAccess
        let links: IdentityLinks
        let sessions: SessionService
        let secondFactor: SecondFactorService
        let fetcher: OpenIDFetcher
        let seal: Seal
        let audit: any AuditTrail
        let observer: any Observer

        public init(
            postgres: PostgresAccess, links: IdentityLinks, sessions: SessionService, secondFactor: SecondFactorService,
            fetcher: OpenIDFetcher, secret: IdentitySecret, audit: any AuditTrail, observer: any Observer
        ) {
            self.postgres = postgres
            self.links = links
            self.sessions = sessions
            self.secondFactor = secondFactor
            self.fetcher = fetcher
            seal = secret.seal(for: .signInVerifiers)
            self.audit = audit
            self.observer = observer
        }
    }

    /// How long a sign-in may take there.
    static let patience = Duration.seconds(600)

    /// In the order in which clients show them.
    let providers: [OpenIDProvider]
    private let exchanges: [String: OpenIDExchange]
    private let tools: Tools
    private let store: OpenIDStore
    private let accounts: AccountStore

    /// `publicURL` is where clients find this gateway: `https://api.example.org`. Providers send browsers back there.
    public init(providers: [OpenIDProvider], publicURL: String, tools: Tools, timeout: Duration = .seconds(2)) {
        self.providers = providers
        self.tools = tools
        store = OpenIDStore(postgres: tools.postgres, timeout: timeout)
        accounts = AccountStore(postgres: tools.postgres, timeout: timeout)
        let base = publicURL.hasSuffix("/") ? String(publicURL.dropLast()) : publicURL
        exchanges = Dictionary(
            providers.map { provider in
                let exchange = OpenIDExchange(
                    connection: OpenIDConnection(provider, fetcher: tools.fetcher), fetcher: tools.fetcher, observer: tools.observer,
                    callback: "\(base)/api/auth/openid/\(provider.name)/callback")
                return (provider.name, exchange)
            }
        ) { first, _ in first }
    }

    // MARK: There

    /// Where a browser goes, and what it keeps meanwhile. Throws `notFound`; `storeUnavailable` where the provider has never answered, or
    /// Postgres does not; `overloaded`.
    func depart(
        to name: String, returnTo: String?, linking: OpenIDLinking? = nil, browser: OpenIDBrowser
    ) async throws(Problem) -> String {
        let exchange = try exchange(name)
        let (state, nonce, verifier) = (OpaqueToken(), OpaqueToken().secret, OpaqueToken().secret)
        let digest = browser.digest(of: state)
        let sealed: [UInt8]
        do { sealed = try tools.seal.seal(Array(verifier.utf8), at: Base64URL.encode(digest)) } catch { throw .unexpected }
        let url = try await exchange.departure(state: state.secret, nonce: nonce, verifier: verifier)
        let attempt = OpenIDAttempt(nonce: nonce, sealedVerifier: sealed, returnTo: returnTo, linking: linking)
        try await store.keep(attempt, at: name, digest: digest, lifetime: Self.patience)
        return url
    }

    /// The same for a link to `account`. Throws as `SecondFactorService.proveAnew` does.
    func departToLink(
        _ name: String, to account: Account, password: String, returnTo: String?, browser: OpenIDBrowser, caller: Caller
    ) async throws(Problem) -> String {
        try await tools.secondFactor.proveAnew(account, password: password, caller: caller)
        return try await depart(
            to: name, returnTo: returnTo, linking: OpenIDLinking(user: account.id, session: account.sessionID), browser: browser)
    }

    // MARK: And back

    /// What a browser that came back has come to.
    enum Arrival: Sendable {
        case signedIn(SignedIn)
        /// The account has a second factor: this, with a code, goes to `finish`.
        case secondFactorNeeded(continuation: String)
        case linked
        /// Only for who wants to be sent on; others are told by throwing.
        case failed(Problem)
    }

    static let unknownState = Problem.invalid([
        .init("state", "is unknown, expired, used before, or was given to another browser; start again")
    ])

    /// Answers with the path of ours to go on to, if the browser left with one. Throws `notFound`; `invalidRequest` where nobody left
    /// with this state in this browser; and, where there is no path to go on to, what `OpenIDExchange.identity` and
    /// `IdentityLinks` throw.
    func arrive(
        from name: String, state: String?, answer: OpenIDExchange.Answer, browser: OpenIDBrowser, caller: Caller
    ) async throws(Problem) -> (Arrival, returnTo: String?) {
        let exchange = try exchange(name)
        guard let state = state.flatMap({ OpaqueToken(presented: $0) }),
            let attempt = try await store.take(browser.digest(of: state), at: name)
        else { throw Self.unknownState }
        do throws(Problem) {
            let verifier: [UInt8]
            do { verifier = try tools.seal.open(attempt.sealedVerifier, at: Base64URL.encode(browser.digest(of: state))) } catch {
                throw .unexpected
            }
            let identity = try await exchange.identity(
                answer, nonce: attempt.nonce, verifier: String(decoding: verifier, as: UTF8.self))
            if let linking = attempt.linking {
                try await tools.links.link(identity, to: linking.user, caller: caller)
                return (.linked, attempt.returnTo)
            }
            return (try await signIn(identity, name, browser, caller), attempt.returnTo)
        } catch {
            try await note("login_failed", .warning, nil, name, caller, reason: error.code.rawValue)
            guard let path = attempt.returnTo else { throw error }
            return (.failed(error), path)
        }
    }

    private func signIn(
        _ identity: ForeignIdentity, _ name: String, _ browser: OpenIDBrowser, _ caller: Caller
    ) async throws(Problem) -> Arrival {
        let user = try await tools.links.account(for: identity, caller: caller).id
        if try await tools.secondFactor.isEnabled(for: user) {
            return .secondFactorNeeded(continuation: try Continuation(user: user, provider: name).sealed(tools.seal, browser))
        }
        let signedIn = try await tools.sessions.open(user, caller: caller, proof: .other)
        try await note("logged_in", .info, user, name, caller)
        return .signedIn(signedIn)
    }

    /// Opens the session of a sign-in that lacked its second factor. Throws `unauthenticated` where the continuation is none (any more)
    /// or another browser's, `secondFactorNeeded` for a wrong code, `accountSuspended`; `rateLimited`, `storeUnavailable` or `overloaded`.
    func finish(_ text: String, code: String, browser: OpenIDBrowser, caller: Caller) async throws(Problem) -> SignedIn {
        guard let continuation = Continuation(sealed: text, tools.seal, browser) else {
            throw Problem(.unauthenticated, "The continuation is unknown, expired, or was given to another browser; start again.")
        }
        switch try await accounts.own(continuation.user, as: .authenticator).status {
        case .active, .pending: break
        case .suspended: throw .accountSuspended
        case .deleted: throw .unauthenticated
        }
        try await tools.secondFactor.prove(code, of: continuation.user, caller: caller)
        let signedIn = try await tools.sessions.open(continuation.user, caller: caller, proof: .other, hasSecondFactor: true)
        try await note("logged_in", .info, continuation.user, continuation.provider, caller)
        return signedIn
    }

    // MARK: Links

    /// The names of the providers at which the account has an identity.
    func linked(_ account: Account) async throws(Problem) -> Set<String> {
        let issuers = try await tools.links.issuers(of: account)
        return Set(providers.filter { issuers.contains($0.issuer.text) }.map(\.name))
    }

    /// Takes the account's identity at a provider from it. Throws what `IdentityLinks.unlink` throws, and `notFound`.
    func unlink(_ name: String, from account: Account, caller: Caller) async throws(Problem) {
        try await tools.links.unlink(issuer: try exchange(name).connection.provider.issuer.text, from: account, caller: caller)
    }

    private func exchange(_ name: String) throws(Problem) -> OpenIDExchange {
        guard let exchange = exchanges[name] else { throw .notFound("provider") }
        return exchange
    }

    private func note(
        _ action: String, _ severity: AuditEvent.Severity, _ user: EntityID?, _ provider: String, _ caller: Caller, reason: String? = nil
    ) async throws(Problem) {
        var metadata: [AuditEvent.Detail: String] = [.provider: provider]
        if let reason { metadata[.reason] = reason }
        try await tools.audit.record(
            AuditEvent(
                action, .signIn, severity, actor: user, target: user.map { AuditEvent.Target(kind: "user", id: $0) }, caller: caller,
                metadata: metadata))
    }
}

/// The browser that leaves and comes back, by a secret in its cookie. It keeps it for as long as it has sign-ins under way, so that
/// several can be.
struct OpenIDBrowser: Sendable {
    static let cookie = "__Host-kababeat_openid"

    let token: OpaqueToken
    init(cookie: String?) { token = cookie.flatMap { OpaqueToken(presented: $0) } ?? OpaqueToken() }

    /// What a state is stored under: it counts in this browser alone.
    func digest(of state: OpaqueToken) -> [UInt8] { Array(SHA256.hash(data: state.digest + token.digest)) }
}

/// A sign-in that lacks its second factor, kept by the client and read by nobody but the gateway.
private struct Continuation {
    private static let lifetime: Int64 = 300_000

    let user: EntityID
    let provider: String

    init(user: EntityID, provider: String) {
        self.user = user
        self.provider = provider
    }

    /// Nil where it is none, is over, or was given to another browser.
    init?(sealed text: String, _ seal: Seal, _ browser: OpenIDBrowser) {
        guard let bytes = Base64URL.decode(text), let opened = try? seal.open(bytes, at: Self.place(browser)) else { return nil }
        let parts = String(decoding: opened, as: UTF8.self).split(separator: " ")
        guard parts.count == 3, let end = Int64(parts[0]), end > Timestamp.now.milliseconds, let user = EntityID(parts[1]) else {
            return nil
        }
        self.init(user: user, provider: String(parts[2]))
    }

    func sealed(_ seal: Seal, _ browser: OpenIDBrowser) throws(Problem) -> String {
        let text = "\(Timestamp.now.milliseconds + Self.lifetime) \(user) \(provider)"
        do { return Base64URL.encode(try seal.seal(Array(text.utf8), at: Self.place(browser))) } catch { throw .unexpected }
    }

    private static func place(_ browser: OpenIDBrowser) -> String { "continuation \(Base64URL.encode(browser.token.digest))" }
}
