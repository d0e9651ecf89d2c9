import Contract
import Testing

@testable import Identity

@Suite struct TrustedIssuerTests {
    // MARK: What is fetched and kept

    /// Counts fetches, and answers what it is told.
    private actor Source {
        private(set) var fetches = 0
        private var answer: Result<Int, Problem> = .success(1)

        func set(_ answer: Result<Int, Problem>) { self.answer = answer }

        func fetch() throws(Problem) -> Int {
            fetches += 1
            return try answer.get()
        }
    }

    private static func document(_ source: Source, _ change: (inout TrustedIssuerDocument<Int>.Limits) -> Void) -> TrustedIssuerDocument<
        Int
    > {
        var limits = TrustedIssuerDocument<Int>.Limits()
        change(&limits)
        return TrustedIssuerDocument(limits: limits) { () throws(Problem) in try await source.fetch() }
    }

    @Test func whatIsKeptIsFetchedOnceHoweverManyAsk() async throws {
        let source = Source()
        let document = Self.document(source) { _ in }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<50 { group.addTask { try await document.value() } }
            for try await value in group { #expect(value == 1) }
        }
        #expect(await source.fetches == 1)
    }

    @Test func somethingNewerIsFetchedOnlyAfterThePause() async throws {
        let source = Source()
        let patient = Self.document(source) { $0.pause = .seconds(600) }
        _ = try await patient.value()
        for _ in 0..<20 { _ = try await patient.value(newer: true) }
        #expect(await source.fetches == 1)

        let eager = Self.document(source) { $0.pause = .zero }
        _ = try await eager.value()
        await source.set(.success(2))
        #expect(try await eager.value() == 1)
        #expect(try await eager.value(newer: true) == 2)
    }

    @Test func whatWasSaidLastServesWhileItsIssuerIsAway() async throws {
        let source = Source()
        let document = Self.document(source) { ($0.lifetime, $0.pause) = (.zero, .zero) }
        #expect(try await document.value() == 1)
        await source.set(.failure(OpenIDFetcher.away))
        #expect(try await document.value() == 1)
        #expect(try await document.value(newer: true) == 1)
        #expect(await source.fetches >= 2)
    }

    @Test func beforeAnythingWasSaidTheFailureIsTold() async throws {
        let source = Source()
        await source.set(.failure(OpenIDFetcher.away))
        let document = Self.document(source) { $0.firstPause = .seconds(600) }
        for _ in 0..<5 { await #expect(throws: OpenIDFetcher.away) { try await document.value() } }
        #expect(await source.fetches == 1, "nobody asks again at once")
    }

    // MARK: Addresses, claims, names

    @Test(arguments: [
        ("https://id.example.org/keys", true), ("http://127.0.0.1:9500", true), ("http://localhost/", true), ("http://[::1]:80/", true),
        ("http://id.example.org", false), ("http://127.0.0.1.example.org", false), ("https://user@example.org", false),
        ("https://example.org/#x", false), ("file:///etc/passwd", false), ("https://", false), ("", false),
    ])
    func secretsTravelOverTLSOrNotAtAll(_ text: String, _ isTaken: Bool) {
        #expect((IssuerURL(text) != nil) == isTaken)
    }

    @Test func aProvidersDocumentLeadsNowhereUnsafe() {
        func endpoints(_ token: String, issuer: String = "https://id.test") -> OpenIDProvider.Endpoints? {
            let document = """
                {"issuer": "\(issuer)", "authorization_endpoint": "https://id.test/authorize", "token_endpoint": "\(token)",
                 "jwks_uri": "https://id.test/keys"}
                """
            return IssuerURL("https://id.test").flatMap { OpenIDProvider.Endpoints(document: Array(document.utf8), of: $0) }
        }
        #expect(endpoints("https://id.test/token") != nil)
        #expect(endpoints("http://127.0.0.1/token") == nil, "a provider out there says what is on loopback here")
        #expect(endpoints("http://id.test/token") == nil)
        #expect(endpoints("https://id.test/token", issuer: "https://evil.test") == nil)
    }

    @Test func aClaimMayStandInsideOfAnother() throws {
        let claims = try #require(TokenClaims(json: Array(#"{"a.b": "whole", "a": {"b": "inner", "c": {"d": true}}}"#.utf8)))
        #expect(claims.text("a.b") == "whole")
        #expect(claims.isTrue("a.c.d"))
        #expect(claims["a.c.e"] == nil)
        #expect(claims["a.b.c"] == nil)
    }

    @Test func anAddressIsVerifiedOnlyWhereItsIssuerSaysSo() throws {
        func isVerified(_ rule: IdentityClaims.EmailRule, _ claim: String) throws -> Bool? {
            let token = #"{"sub": "1", "email": "somebody@example.org"\#(claim)}"#
            let claims = try #require(TokenClaims(json: Array(token.utf8)))
            var names = IdentityClaims()
            names.emailVerified = rule
            return names.identity(in: claims, issuer: "https://id.test")?.isEmailVerified
        }
        let usual = IdentityClaims.EmailRule.claim("email_verified")
        #expect(try isVerified(usual, #", "email_verified": true"#) == true)
        #expect(try isVerified(usual, #", "email_verified": "true""#) == true)
        for claim in ["", #", "email_verified": false"#, #", "email_verified": 1"#, #", "email_verified": null"#] {
            #expect(try isVerified(usual, claim) == false)
        }
        #expect(try isVerified(.always, "") == true)
        #expect(try isVerified(.never, #", "email_verified": true"#) == false)
    }

    @Test(arguments: [
        ("Zoë Müller", "Zoe-Muller"), ("  dj.shadow_  ", "dj.shadow"), ("someone@example.org", "someone"), ("ad--min", "ad--min"),
        ("admin", nil), ("日本", nil), ("ab", nil), ("6a8e2b1c-0000-7000-8000-000000000001", nil),
    ])
    func aUsernameIsMadeOfWhatIsWishedFor(_ wish: String, _ name: String?) {
        #expect(UsernameChoice.clean(wish) == name)
    }

    @Test func everyIdentityFindsAName() throws {
        let identity = ForeignIdentity(
            key: IdentityKey(issuer: "https://id.test", subject: "1"), email: nil, isEmailVerified: false,
            username: String(repeating: "a", count: 80),
            displayName: nil)
        for name in UsernameChoice.candidates(for: identity) { #expect(Username.complaint(name) == nil) }
    }

    // MARK: Ways back

    @Test(arguments: [
        ("/", true), ("/library?page=2#top", true), ("//evil.test", false), ("/\\evil.test", false), ("https://evil.test", false),
        ("evil", false), ("/a b", false), ("/a\r\nSet-Cookie: x", false), ("", false), ("/ä", false),
    ])
    func aBrowserGoesOnToAPathOfThisSiteAlone(_ path: String, _ isOurs: Bool) {
        #expect(ReturnPath.isOurs(path) == isOurs)
    }

    @Test func whatIsAddedToAPathStandsBeforeItsFragment() {
        #expect(ReturnPath.adding("a", "b c", to: "/x") == "/x?a=b%20c")
        #expect(ReturnPath.adding("a", "b", to: "/x?y=1#z") == "/x?y=1&a=b#z")
    }

    // MARK: Identity tokens

    /// The example of OpenID Connect Core 1.0, appendix A.3 and A.4.
    @Test func anAccessTokenFitsItsHash() throws {
        let accessToken = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
        try OpenIDExchange.check("77QmUPtjPfzWtF2AnpK9RQ", of: accessToken, .rs256)
        try OpenIDExchange.check(nil, of: accessToken, .rs256)
        #expect(throws: TokenFlaw.accessToken) { try OpenIDExchange.check("77QmUPtjPfzWtF2AnpK9RQ", of: accessToken + "x", .rs256) }
        #expect(throws: TokenFlaw.accessToken) { try OpenIDExchange.check("77QmUPtjPfzWtF2AnpK9RQ", of: nil, .rs256) }
    }

    @Test func anIdentityTokenIsForOneClientAndOneSignIn() throws {
        let file = #"{"providers": [{"name": "id", "issuer": "https://id.test", "clientId": "us"}]}"#
        let provider = try #require(try TrustedIssuerFile(Array(file.utf8)).providers.first)
        func flaw(_ token: String) throws -> TokenFlaw? {
            let claims = try #require(TokenClaims(json: Array(token.utf8)))
            do throws(TokenFlaw) { try OpenIDExchange.check(claims, provider, nonce: "n") } catch { return error }
            return nil
        }
        #expect(try flaw(#"{"iss": "https://id.test", "aud": "us", "nonce": "n"}"#) == nil)
        #expect(try flaw(#"{"iss": "https://id.test", "aud": ["us", "them"], "azp": "us", "nonce": "n"}"#) == nil)
        #expect(try flaw(#"{"iss": "https://id.test", "aud": ["us", "them"], "nonce": "n"}"#) == .audience)
        #expect(try flaw(#"{"iss": "https://id.test", "aud": "us", "azp": "them", "nonce": "n"}"#) == .audience)
        #expect(try flaw(#"{"iss": "https://id.test", "aud": "them", "nonce": "n"}"#) == .audience)
        #expect(try flaw(#"{"iss": "https://other.test", "aud": "us", "nonce": "n"}"#) == .issuer)
        #expect(try flaw(#"{"iss": "https://id.test", "aud": "us", "nonce": "m"}"#) == .nonce)
        #expect(try flaw(#"{"iss": "https://id.test", "aud": "us"}"#) == .nonce)
    }

    @Test func presetsAreProvidersOfTheirOwn() throws {
        let file = #"{"providers": [{"preset": "google", "clientId": "a"}, {"preset": "facebook", "clientId": "b", "clientSecret": "c"}]}"#
        let providers = try TrustedIssuerFile(Array(file.utf8)).providers
        #expect(providers.map(\.name) == ["google", "facebook"])
        #expect(providers[0].endpoints == nil)
        #expect(providers[1].endpoints?.authentication == .post)
        #expect(providers[1].claims.emailVerified == .never)
    }
}
