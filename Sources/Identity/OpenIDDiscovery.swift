extension OpenIDProvider.Endpoints {
    /// What a provider says of itself (OpenID Connect Discovery 1.0 §3). Nil where it is of another issuer, which the standard forbids
    /// to believe (§4.3), lacks something, or leads somewhere that is no place for secrets: over plain HTTP, unless the provider itself
    /// is on loopback.
    init?(document: [UInt8], of issuer: IssuerURL) {
        guard let said = TokenClaims(json: document) else { return nil }
        func address(_ name: String) -> IssuerURL? {
            guard let url = said.text(name).flatMap({ IssuerURL($0) }), issuer.isLoopback || url.text.hasPrefix("https://") else {
                return nil
            }
            return url
        }
        guard said.text("issuer") == issuer.text, let authorization = address("authorization_endpoint"),
            let token = address("token_endpoint"), let keys = address("jwks_uri")
        else { return nil }
        self.authorization = authorization
        self.token = token
        self.keys = keys
        userInfo = address("userinfo_endpoint")
        namesItself = said.isTrue("authorization_response_iss_parameter_supported")
        let methods = said.texts("token_endpoint_auth_methods_supported")
        // Basic is meant where nothing is said (§3).
        authentication = methods.contains("client_secret_post") && !methods.contains("client_secret_basic") ? .post : .basic
    }
}

/// What the token endpoint answers a code with (OpenID Connect Core 1.0 §3.1.3.3).
struct OpenIDTokens: Sendable {
    let idToken: String
    let accessToken: String?

    /// Nil where the answer has no identity token.
    init?(answer: [UInt8]) {
        guard let said = TokenClaims(json: answer), let idToken = said.text("id_token") else { return nil }
        self.idToken = idToken
        accessToken = said.text("access_token")
    }
}
