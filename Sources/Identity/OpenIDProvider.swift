import Contract

/// Somebody where people can sign in and come back: an OpenID provider (OpenID Connect Core 1.0), by configuration.
public struct OpenIDProvider: Sendable {
    /// As paths name it: `google`.
    let name: String
    /// As a button names it: `Google`.
    let label: String
    /// `iss` of its identity tokens, to the letter.
    let issuer: IssuerURL
    let clientID: String
    /// Nil for a public client.
    let clientSecret: String?
    let scopes: [String]
    let algorithms: Set<SigningAlgorithm>
    let claims: IdentityClaims
    /// Where it does not publish them itself (OpenID Connect Discovery 1.0).
    let endpoints: Endpoints?

    struct Endpoints: Sendable, Equatable {
        let authorization: IssuerURL
        let token: IssuerURL
        let keys: IssuerURL
        let userInfo: IssuerURL?
        /// How the client names itself at the token endpoint.
        let authentication: Authentication
        /// Whether it names itself in what it sends back (RFC 9207).
        let namesItself: Bool
    }

    /// `client_secret_basic` and `client_secret_post` (OpenID Connect Core 1.0 §9).
    enum Authentication: String, Sendable, CaseIterable {
        case basic, post
    }

    /// What is known of a provider, so that its configuration takes no more than a client id and its secret.
    enum Preset: String, Sendable, CaseIterable {
        case google, facebook

        var label: String {
            switch self {
            case .google: "Google"
            case .facebook: "Facebook"
            }
        }

        var issuer: String {
            switch self {
            case .google: "https://accounts.google.com"
            case .facebook: "https://www.facebook.com"
            }
        }

        /// Facebook's own document names no token endpoint; see its "Manually Build a Login Flow: OIDC Token with Manual Flow".
        var endpoints: Endpoints? {
            guard self == .facebook, let authorization = IssuerURL("https://www.facebook.com/v21.0/dialog/oauth"),
                let token = IssuerURL("https://graph.facebook.com/v21.0/oauth/access_token"),
                let keys = IssuerURL("https://www.facebook.com/.well-known/oauth/openid/jwks/")
            else { return nil }
            return Endpoints(
                authorization: authorization, token: token, keys: keys, userInfo: nil, authentication: .post, namesItself: false)
        }

        /// Facebook says of no address whether it is verified.
        var emailVerified: IdentityClaims.EmailRule { self == .facebook ? .never : .claim("email_verified") }
    }
}

/// A provider, and what it has published of itself.
struct OpenIDConnection: Sendable {
    let provider: OpenIDProvider
    private let endpoints: TrustedIssuerDocument<OpenIDProvider.Endpoints>
    private let fetcher: OpenIDFetcher
    private let keys: OpenIDKeys

    init(_ provider: OpenIDProvider, fetcher: OpenIDFetcher) {
        self.provider = provider
        self.fetcher = fetcher
        keys = OpenIDKeys()
        endpoints = TrustedIssuerDocument { () throws(Problem) in
            if let endpoints = provider.endpoints { return endpoints }
            return try await Self.discover(provider, fetcher)
        }
    }

    /// Throws `storeUnavailable` where the provider has never said.
    func currentEndpoints() async throws(Problem) -> OpenIDProvider.Endpoints { try await endpoints.value() }

    /// The key of an identity token. Throws `unauthenticated` where the provider publishes no such key.
    func keySet() async throws(Problem) -> TrustedIssuerDocument<TrustedIssuerKeys> {
        let url = try await currentEndpoints().keys
        return await keys.document(at: url, allowed: provider.algorithms, fetcher)
    }

    private static func discover(
        _ provider: OpenIDProvider, _ fetcher: OpenIDFetcher
    ) async throws(Problem) -> OpenIDProvider.Endpoints {
        let base = provider.issuer.text.hasSuffix("/") ? String(provider.issuer.text.dropLast()) : provider.issuer.text
        guard let url = IssuerURL(base + "/.well-known/openid-configuration") else { throw OpenIDFetcher.away }
        let document = try await fetcher.document(url, limit: 256 << 10)
        guard let endpoints = OpenIDProvider.Endpoints(document: document, of: provider.issuer) else { throw OpenIDFetcher.away }
        return endpoints
    }
}

/// The key set of a provider; another one once the provider says that its keys are elsewhere.
private actor OpenIDKeys {
    private var current: (url: IssuerURL, document: TrustedIssuerDocument<TrustedIssuerKeys>)?

    func document(
        at url: IssuerURL, allowed: Set<SigningAlgorithm>, _ fetcher: OpenIDFetcher
    ) -> TrustedIssuerDocument<TrustedIssuerKeys> {
        if let current, current.url == url { return current.document }
        let document = TrustedIssuerDocument<TrustedIssuerKeys>.keys(at: url, allowed: allowed, fetcher, .init())
        current = (url, document)
        return document
    }
}
