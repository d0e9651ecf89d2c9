import Contract
import Credentials
import Crypto
import Foundation

/// What the gateway and a provider say to each other behind the browser's back: a code for tokens, and what those are worth.
struct OpenIDExchange: Sendable {
    let connection: OpenIDConnection
    let fetcher: OpenIDFetcher
    let observer: any Observer
    /// Where the provider sends browsers back to.
    let callback: String

    private static let answerLimit = 64 << 10

    // MARK: There

    /// Where a browser goes to sign in: authorisation code, PKCE with S256 (RFC 7636), state and nonce.
    func departure(state: String, nonce: String, verifier: String) async throws(Problem) -> String {
        let provider = connection.provider
        let challenge = Base64URL.encode(Array(SHA256.hash(data: Array(verifier.utf8))))
        return try await connection.currentEndpoints().authorization.adding([
            ("response_type", "code"), ("client_id", provider.clientID), ("redirect_uri", callback),
            ("scope", provider.scopes.joined(separator: " ")), ("state", state), ("nonce", nonce), ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ])
    }

    // MARK: And back

    /// What a provider's answer names.
    struct Answer: Sendable {
        let code: String?
        /// `iss` (RFC 9207).
        let issuer: String?
        /// An error in the place of a code.
        let error: String?
    }

    /// Who has signed in there. Throws `forbidden` where the provider let nobody in, `unauthenticated` where what it says counts for
    /// nothing, `storeUnavailable` where it does not answer.
    func identity(_ answer: Answer, nonce: String, verifier: String) async throws(Problem) -> ForeignIdentity {
        let endpoints = try await connection.currentEndpoints()
        // One provider's answer must not be taken to another one (RFC 9700 §4.4).
        guard answer.issuer.map({ $0 == connection.provider.issuer.text }) ?? !endpoints.namesItself else { throw TokenFlaw.issuer.problem }
        if let error = answer.error {
            observer.observe(.lifecycle("\(connection.provider.name) refused a sign-in: \(Self.code(error))"))
            throw Problem(.forbidden, "The provider did not let the sign-in through.")
        }
        guard let code = answer.code else { throw .invalid([.init("code", "is missing")]) }
        let tokens = try await exchange(code, verifier, endpoints)
        var claims = try await verify(tokens, nonce: nonce)
        if claims.text(connection.provider.claims.email) == nil, let url = endpoints.userInfo, let accessToken = tokens.accessToken {
            let said = TokenClaims(json: try await fetcher.document(url, limit: Self.answerLimit, bearer: accessToken))
            // Of somebody else it says nothing (OpenID Connect Core 1.0 §5.3.2).
            if let said, said.text("sub") == claims.text("sub") { claims = claims.completed(by: said) }
        }
        guard let identity = connection.provider.claims.identity(in: claims, issuer: connection.provider.issuer.text) else {
            throw TokenFlaw.subject.problem
        }
        return identity
    }

    private func exchange(
        _ code: String, _ verifier: String, _ endpoints: OpenIDProvider.Endpoints
    ) async throws(Problem) -> OpenIDTokens {
        let provider = connection.provider
        var form = [
            ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", callback), ("code_verifier", verifier),
        ]
        var authorization: String?
        switch (provider.clientSecret, endpoints.authentication) {
        case (let secret?, .basic):
            // Each encoded as a form would have it, and then both (RFC 6749 §2.3.1).
            let pair = "\(FormEncoding.encode(provider.clientID)):\(FormEncoding.encode(secret))"
            authorization = "Basic \(Data(pair.utf8).base64EncodedString())"
        case (let secret?, .post): form += [("client_id", provider.clientID), ("client_secret", secret)]
        case (nil, _): form.append(("client_id", provider.clientID))
        }
        let answer = try await fetcher.submit(form, to: endpoints.token, authorization: authorization, limit: Self.answerLimit)
        if answer.status == 200, let tokens = OpenIDTokens(answer: answer.body) { return tokens }
        let error = TokenClaims(json: answer.body)?.text("error")
        if error == "invalid_grant" { throw Problem(.unauthenticated, "The provider does not take this code (any more); start again.") }
        observer.observe(.lifecycle("\(provider.name) answered \(answer.status) to a code: \(error.map(Self.code) ?? "no error code")"))
        throw OpenIDFetcher.away
    }

    /// What may be logged of an error code (RFC 6749 §5.2).
    private static func code(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(40).filter { $0.isASCII && ($0.properties.isAlphabetic || $0 == "_") }))
    }

    // MARK: The identity token (OpenID Connect Core 1.0 §3.1.3.7)

    private func verify(_ tokens: OpenIDTokens, nonce: String) async throws(Problem) -> TokenClaims {
        let provider = connection.provider
        guard let token = SignedToken(tokens.idToken) else { throw TokenFlaw.malformed.problem }
        guard let algorithm = SigningAlgorithm(rawValue: token.algorithm), provider.algorithms.contains(algorithm) else {
            throw TokenFlaw.algorithm.problem
        }
        guard token.type.map({ $0.lowercased() == "jwt" }) ?? true else { throw TokenFlaw.type.problem }
        let key = try await connection.keySet().key(for: token)
        guard token.isSigned(with: key) else { throw TokenFlaw.signature.problem }
        do throws(TokenFlaw) {
            try token.claims.checkTimes(now: .now)
            try Self.check(token.claims, provider, nonce: nonce)
            try Self.check(token.claims.text("at_hash"), of: tokens.accessToken, algorithm)
        } catch {
            throw error.problem
        }
        return token.claims
    }

    static func check(_ claims: TokenClaims, _ provider: OpenIDProvider, nonce: String) throws(TokenFlaw) {
        guard claims.text("iss") == provider.issuer.text else { throw .issuer }
        let audiences = claims.audiences
        guard audiences.contains(provider.clientID) else { throw .audience }
        // Where it is for others too, it says for whom it was made.
        let party = claims.text("azp")
        guard party == provider.clientID || (party == nil && audiences.count == 1) else { throw .audience }
        guard let said = claims.text("nonce"), ConstantTime.equals(said.utf8, nonce.utf8) else { throw .nonce }
    }

    /// `at_hash`, where there is one: the left half of the access token's hash (§3.1.3.6).
    static func check(_ hash: String?, of accessToken: String?, _ algorithm: SigningAlgorithm) throws(TokenFlaw) {
        guard let hash else { return }
        let bytes = Array((accessToken ?? "").utf8)
        let digest: [UInt8] =
            switch algorithm {
            case .hs256, .rs256, .ps256, .es256: Array(SHA256.hash(data: bytes))
            case .rs384, .ps384, .es384: Array(SHA384.hash(data: bytes))
            case .rs512, .ps512, .es512, .edDSA: Array(SHA512.hash(data: bytes))
            }
        guard Base64URL.encode(Array(digest.prefix(digest.count / 2))) == hash else { throw .accessToken }
    }
}
