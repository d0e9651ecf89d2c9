import Contract
import HTTPAPI
import NIOCore
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct EdgeCredentialTests {
    private static let user = Account(
        id: EntityID(rawValue: 1), sessionID: nil, roles: [.user], isVerified: true, hasSecondFactor: false)

    private struct Desk: Authenticator {
        func principal(for credential: PresentedCredential) async throws(Problem) -> Principal {
            switch credential.secret {
            case "user": return .account(EdgeCredentialTests.user)
            case "job": return .service(ServiceAccess(keyID: EntityID(rawValue: 2), scopes: [.auditRead]))
            case "suspended": throw Problem(.accountSuspended, "The account is suspended.")
            case "outage": throw .unavailable(.postgres)
            default: throw .unauthenticated
            }
        }
    }

    /// Lets so many requests of an address pass, and counts who was asked for.
    private final class Turnstile: RateLimiter {
        let asked = Mutex<[String]>([])
        private let most: Int
        private let isLocal: Bool

        init(most: Int, isLocal: Bool = true) {
            self.most = most
            self.isLocal = isLocal
        }

        private func count(_ name: String) throws(Problem) -> RateState {
            let count = asked.withLock { asked in
                asked.append(name)
                return asked.count { $0 == name }
            }
            guard count <= most else { throw Problem(.rateLimited, "Too many.", retryAfter: 7) }
            return RateState(limit: most, remaining: most - count, resetSeconds: 30, windowSeconds: 60)
        }

        func admitLocally(_ rateClass: RateClass, address: ClientAddress) throws(Problem) -> LocalAdmission {
            isLocal ? .admitted(try count("\(rateClass) \(address)")) : .undecided
        }

        func admit(_ rateClass: RateClass, address: ClientAddress) async throws(Problem) -> RateState? {
            try count("\(rateClass) \(address)")
        }

        func admitLocally(_ rateClass: RateClass, principal: Principal, address: ClientAddress) throws(Problem) -> LocalAdmission {
            .undecided
        }

        func admit(_ rateClass: RateClass, principal: Principal, address: ClientAddress) async throws(Problem) -> RateState? {
            let state = try count("\(rateClass) \(principal.account?.id.description ?? "key")")
            return RateState(limit: state.limit * 10, remaining: state.remaining, resetSeconds: 1, windowSeconds: 2)
        }

        func admit(_ rateClass: RateClass, subject: String) async throws(Problem) {}
    }

    private static func name(_ call: Call) -> Reply {
        let who =
            switch call.principal {
            case .account(let account): "account \(account.id)"
            case .service: "key"
            default: "nobody"
            }
        let text = "\(who) by \(call.caller.transport?.rawValue ?? "nothing") from \(call.caller.address)"
        return Reply(contentType: "text/plain", body: ByteBuffer(string: text), etag: "\"e\"", cacheControl: .revalidate)
    }

    private static let routes: [Route] = [
        .get("/anyone", .anyone) { call throws(Problem) in name(call) },
        .get("/me", .signedIn) { call throws(Problem) in name(call) },
        .get("/admin", .role(.admin)) { call throws(Problem) in name(call) },
        .post("/write", .signedIn) { call throws(Problem) in name(call) },
        Route.post("/login", .anyone, rate: .signIn) { call throws(Problem) in
            var reply = Reply.done
            guard call.isSameSite else { throw Problem(.crossSite, "elsewhere") }
            reply.cookies = [SetCookie(SessionCookie.access, call.cookie(SessionCookie.refresh) ?? "new", lifetime: .seconds(60))]
            return reply
        }.toleratingDeadCredentials,
        .get("/health", .anyone, rate: .unlimited) { call throws(Problem) in name(call) },
    ]

    private static func run(
        trust: EdgeTrust = EdgeTrust(), rateLimiter: (any RateLimiter)? = nil, _ body: (EdgeServer) async throws -> Void
    ) async throws {
        try await EdgeServer.run(routes, trust: trust, authenticator: Desk(), rateLimiter: rateLimiter, body)
    }

    private static let cookie = "Cookie: \(SessionCookie.access)="

    // MARK: Who it is

    @Test(
        arguments: [
            ([], "/anyone", "nobody by nothing from 127.0.0.1"), (["Cookie: a=b"], "/anyone", "nobody by nothing from 127.0.0.1"),
            (["Authorization: Bearer user"], "/me", "account 00000000-0000-0000-0000-000000000001 by bearer from 127.0.0.1"),
            ([cookie + "user"], "/me", "account 00000000-0000-0000-0000-000000000001 by cookie from 127.0.0.1"),
            (["Authorization: Bearer job", cookie + "user"], "/anyone", "key by bearer from 127.0.0.1"),
        ] as [([String], String, String)])
    func aCredentialSaysOnWhoseBehalf(_ fields: [String], _ path: String, _ who: String) async throws {
        try await Self.run { server in
            let answer = try await server.connect { wire in
                try await wire.send(Wire.request(path, fields))
                return try await wire.answer()
            }
            #expect(answer?.body == who)
        }
    }

    @Test(
        arguments: [
            ([], "/me", 401, "unauthenticated", #"Bearer realm="kababeat""#),
            (["Authorization: Bearer dead"], "/me", 401, "unauthenticated", #"Bearer realm="kababeat", error="invalid_token""#),
            (["Authorization: Bearer dead"], "/anyone", 401, "unauthenticated", #"Bearer realm="kababeat", error="invalid_token""#),
            (["Authorization: Basic dXNlcg=="], "/anyone", 401, "unauthenticated", #"Bearer realm="kababeat", error="invalid_token""#),
            ([cookie + "dead"], "/anyone", 401, "unauthenticated", #"Bearer realm="kababeat", error="invalid_token""#),
            (["Authorization: Bearer user"], "/admin", 403, "forbidden", nil),
            (["Authorization: Bearer job"], "/me", 403, "forbidden", nil),
            (["Authorization: Bearer suspended"], "/anyone", 403, "account_suspended", nil),
            (["Authorization: Bearer outage"], "/anyone", 503, "store_unavailable", nil),
        ] as [([String], String, Int, String, String?)])
    func nobodyIsTakenForSomebodyElse(_ fields: [String], _ path: String, _ status: Int, _ code: String, _ challenge: String?) async throws
    {
        try await Self.run { server in
            let answer = try await server.connect { wire in
                try await wire.send(Wire.request(path, fields))
                return try await wire.answer()
            }
            #expect(answer?.status == status && answer?.code == code && answer?["www-authenticate"] == challenge)
            #expect(answer?["cache-control"] == "no-store")
        }
    }

    @Test func aDeadCookieIsNoObstacleOnTheWayToANewOne() async throws {
        try await Self.run { server in
            let fields = ["Sec-Fetch-Site: same-origin", "Cookie: \(SessionCookie.access)=dead; \(SessionCookie.refresh)=r1"]
            let answer = try await server.connect { wire in
                try await wire.send(Wire.request("/login", fields, method: "POST", body: "{}"))
                return try await wire.answer()
            }
            #expect(answer?.status == 204)
            #expect(answer?["set-cookie"] == "\(SessionCookie.access)=r1; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax")
        }
    }

    // MARK: Other sites

    @Test(
        arguments: [
            ("/write", [cookie + "user", "Sec-Fetch-Site: same-origin"], 200),
            ("/write", [cookie + "user", "Origin: https://gateway.example"], 200),
            ("/write", [cookie + "user"], 403), ("/write", [cookie + "user", "Sec-Fetch-Site: cross-site"], 403),
            ("/write", [cookie + "user", "Sec-Fetch-Site: same-site"], 403),
            ("/write", [cookie + "user", "Origin: https://evil.example"], 403),
            ("/write", [cookie + "user", "Origin: null"], 403),
            ("/write", ["Authorization: Bearer user", "Origin: https://evil.example"], 200),
            ("/login", ["Cookie: \(SessionCookie.refresh)=r1", "Origin: https://evil.example"], 403),
            ("/login", ["Origin: https://evil.example"], 403), ("/login", ["Sec-Fetch-Site: none"], 204), ("/login", [], 204),
        ] as [(String, [String], Int)])
    func whatACookieSignsComesFromTheSiteItself(_ path: String, _ fields: [String], _ status: Int) async throws {
        try await Self.run { server in
            let answer = try await server.connect { wire in
                try await wire.send(Wire.request(path, fields, method: "POST", body: "{}"))
                return try await wire.answer()
            }
            #expect(answer?.status == status)
            if status == 403 { #expect(answer?.code == "cross_site") }
        }
    }

    @Test func readingIsNotChangedByACookieFromAnotherSite() async throws {
        try await Self.run { server in
            let answer = try await server.answer("/me", Self.cookie + "user", "Sec-Fetch-Site: cross-site")
            #expect(answer?.status == 200)
        }
    }

    // MARK: What answers say of themselves

    @Test func whatIsForOneViewerIsKeptByNobody() async throws {
        try await Self.run { server in
            let everybody = try #require(try await server.answer("/anyone"))
            #expect(everybody["cache-control"] == "public, no-cache" && everybody["vary"] == "Authorization, Cookie")
            let mine = try #require(try await server.answer("/anyone", "Authorization: Bearer user"))
            #expect(mine["cache-control"] == "no-store" && mine["etag"] == "\"e\"")
            #expect(try await server.answer("/anyone", "If-None-Match: \"e\"")?.status == 304)
        }
    }

    @Test func everyAnswerTellsBrowsersToBeCareful() async throws {
        try await Self.run { server in
            for path in ["/anyone", "/me", "/nowhere"] {
                let answer = try #require(try await server.answer(path))
                #expect(answer["x-content-type-options"] == "nosniff" && answer["referrer-policy"] == "no-referrer")
                #expect(answer["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'")
                #expect(answer["strict-transport-security"] == nil && answer["access-control-allow-origin"] == nil)
            }
        }
    }

    @Test func onlyListedSitesMayReadAnswers() async throws {
        var trust = EdgeTrust()
        trust.origins = ["https://app.example.com"]
        try await Self.run(trust: trust) { server in
            let known = try #require(try await server.answer("/anyone", "Origin: https://app.example.com"))
            #expect(
                known["access-control-allow-origin"] == "https://app.example.com" && known["access-control-allow-credentials"] == "true")
            #expect(known["vary"] == "Authorization, Cookie, Origin")
            for origin in ["https://evil.example", "https://app.example.com.evil.example", "null", "http://app.example.com"] {
                let other = try #require(try await server.answer("/anyone", "Origin: \(origin)"))
                #expect(other["access-control-allow-origin"] == nil && other["vary"] == "Authorization, Cookie, Origin")
            }
            #expect(try await server.answer("/me", "Origin: https://app.example.com")?["vary"] == "Origin")
        }
    }

    @Test func aBrowserIsToldWhatAListedSiteMaySend() async throws {
        var trust = EdgeTrust()
        trust.origins = ["https://app.example.com"]
        try await Self.run(trust: trust) { server in
            let asks = "Access-Control-Request-Method: POST"
            let known = try #require(try await server.answer("/write", "Origin: https://app.example.com", asks, method: "OPTIONS"))
            #expect(known.status == 204 && known["access-control-allow-methods"] == "POST" && known["access-control-max-age"] == "600")
            #expect(known["access-control-allow-headers"]?.contains("Authorization") == true)
            #expect(try await server.answer("/write", "Origin: https://evil.example", asks, method: "OPTIONS")?.status == 405)
            #expect(try await server.answer("/write", "Origin: https://app.example.com", method: "OPTIONS")?.status == 405)
            #expect(try await server.answer("/nowhere", "Origin: https://app.example.com", asks, method: "OPTIONS")?.status == 404)
        }
    }

    @Test func onlyListedHostsAreAnswered() async throws {
        var trust = EdgeTrust()
        trust.hosts = ["gateway.example"]
        try await Self.run(trust: trust) { server in
            #expect(try await server.answer("/anyone")?.status == 200)
            try await server.connect { wire in
                try await wire.send("GET /anyone HTTP/1.1\r\nHost: evil.example\r\n\r\n")
                #expect(try await wire.answer()?.code == "invalid_host")
            }
        }
    }

    @Test func aTrustedProxySaysWhoseAddressItIs() async throws {
        var trust = EdgeTrust()
        trust.proxies = [try #require(AddressBlock("127.0.0.0/8"))]
        try await Self.run(trust: trust) { server in
            let answer = try await server.answer("/anyone", "X-Forwarded-For: 6.6.6.6, 192.0.2.7")
            #expect(answer?.body == "nobody by nothing from 192.0.2.7")
        }
        try await Self.run { server in
            let answer = try await server.answer("/anyone", "X-Forwarded-For: 192.0.2.7")
            #expect(answer?.body == "nobody by nothing from 127.0.0.1")
        }
    }

    // MARK: Limits

    @Test(arguments: [true, false])
    func anAddressIsCountedBeforeItsCredential(_ isLocal: Bool) async throws {
        let turnstile = Turnstile(most: 2, isLocal: isLocal)
        try await Self.run(rateLimiter: turnstile) { server in
            let first = try #require(try await server.answer("/anyone"))
            #expect(first["ratelimit-policy"] == #""all";q=2;w=60"# && first["ratelimit"] == #""all";r=1;t=30"#)
            #expect(try await server.answer("/anyone", "Authorization: Bearer dead")?.status == 401)
            let refused = try #require(try await server.answer("/anyone", "Authorization: Bearer user"))
            #expect(refused.status == 429 && refused.code == "rate_limited" && refused["retry-after"] == "7")
            #expect(try await server.answer("/health")?.status == 200)
        }
        #expect(turnstile.asked.withLock { $0 } == ["read 127.0.0.1", "read 127.0.0.1", "read 127.0.0.1"])
    }

    @Test func anAccountIsCountedByItself() async throws {
        let turnstile = Turnstile(most: 9)
        try await Self.run(rateLimiter: turnstile) { server in
            let answer = try #require(try await server.answer("/me", "Authorization: Bearer user"))
            #expect(answer["ratelimit-policy"] == #""all";q=90;w=2"# && answer["ratelimit"] == #""all";r=8;t=1"#)
        }
        #expect(turnstile.asked.withLock { $0 } == ["read 127.0.0.1", "read 00000000-0000-0000-0000-000000000001"])
    }
}
