import Contract
import Credentials
import DataPlane
import HTTPAPI
import JSON

/// Signing in, staying so, and leaving.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | POST | /api/auth/login | anyone |
/// | POST | /api/auth/refresh | anyone |
/// | POST | /api/auth/logout | anyone |
/// | GET | /api/auth/sessions | signedIn |
/// | DELETE | /api/auth/sessions | signedIn |
/// | DELETE | /api/auth/sessions/{id} | signedIn |
/// | GET | /api/auth/me | signedIn |
/// | GET | /api/auth/profile | signedIn |
/// | GET | /api/users/me | signedIn |
/// | GET | /api/users/profile | signedIn |
public struct SessionRoutes: Sendable {
    private let signIn: PasswordSignIn
    private let service: SessionService

    public init(signIn: PasswordSignIn, service: SessionService) {
        self.signIn = signIn
        self.service = service
    }

    public var routes: [Route] {
        [
            .post("/api/auth/login", .anyone, rate: .signIn) { call throws(Problem) in try await login(&call) }.toleratingDeadCredentials,
            // A refresh token cannot be guessed, so it is no more than a write.
            .post("/api/auth/refresh", .anyone) { call throws(Problem) in try await refresh(&call) }.toleratingDeadCredentials,
            .post("/api/auth/logout", .anyone) { call throws(Problem) in try await logout(&call) }.toleratingDeadCredentials,
            .get("/api/auth/sessions", .signedIn) { call throws(Problem) in try await list(&call) },
            .delete("/api/auth/sessions", .signedIn) { call throws(Problem) in try await endAll(&call) },
            .delete("/api/auth/sessions/{id}", .signedIn) { call throws(Problem) in try await end(&call) },
        ]
            + ["/api/auth/me", "/api/auth/profile", "/api/users/me", "/api/users/profile"].map { path in
                .get(path, .signedIn) { call throws(Problem) in try await me(&call) }
            }
    }

    // MARK: In and out

    private func login(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["email", "password", "code", "cookies"])
        let attempt = PasswordSignIn.Attempt(
            email: input.requiredText("email", 3...254), password: input.requiredText("password", 1...1024),
            code: input.text("code", 1...64))
        let inCookies = input.bool("cookies") ?? false
        try input.check()
        // Or another site could sign a visitor in to an account of its own (https://owasp.org/www-community/attacks/csrf, "login CSRF").
        guard !inCookies || call.isSameSite else {
            throw Problem(.crossSite, "Cookies are set for pages of this site alone; sign in without cookies.")
        }
        call.clock.mark(.parse)
        let signedIn = try await signIn.signIn(attempt, caller: call.caller)
        call.clock.mark(.fetch)
        return Self.reply(signedIn, inCookies: inCookies)
    }

    private func refresh(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let shown = try Self.refreshToken(&call)
        guard let token = shown.token else { throw .invalid([.init("refreshToken", "is missing, and there is no cookie with one")]) }
        call.clock.mark(.parse)
        let signedIn = try await service.refresh(token, caller: call.caller)
        call.clock.mark(.fetch)
        return Self.reply(signedIn, inCookies: shown.isCookie)
    }

    private func logout(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let shown = try Self.refreshToken(&call)
        try await service.logout(call.principal.account, refreshToken: shown.token, caller: call.caller)
        return .signedOut
    }

    /// The one in the body, or else the one in the cookie.
    private static func refreshToken(_ call: inout Call) throws(Problem) -> (token: String?, isCookie: Bool) {
        var input = try call.input(allowed: ["refreshToken"])
        let token = input.text("refreshToken", 1...100)
        try input.check()
        if let token { return (token, false) }
        let cookie = call.cookie(SessionCookie.refresh)
        return (cookie, cookie != nil)
    }

    /// The answer of whatever signs somebody in.
    static func reply(_ signedIn: SignedIn, inCookies: Bool) -> Reply {
        var reply = Reply.json(signedIn.json(withRefreshToken: !inCookies))
        if inCookies {
            reply.cookies = [
                SetCookie(SessionCookie.access, signedIn.accessToken, lifetime: signedIn.lifetime),
                SetCookie(SessionCookie.refresh, signedIn.refreshToken.secret, lifetime: signedIn.idleLifetime),
            ]
        }
        return reply
    }

    // MARK: Sessions

    private func list(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let account = try call.account()
        call.clock.mark(.parse)
        let sessions = try await service.sessions(of: account)
        call.clock.mark(.fetch)
        let total = ListTotal(Int64(sessions.count), isExact: sessions.count < SessionStore.mostListed)
        return .list(ListPage(sessions, limit: SessionStore.mostListed, next: nil, total: total)) { session, json in
            session.write(into: &json, isCurrent: session.id == account.sessionID)
        }
    }

    private func end(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        try await service.end(call.id("id", of: "session"), of: call.account(), caller: call.caller)
        return .done
    }

    /// `others` leaves the session that asks; `all` does not.
    enum Extent: String, CaseIterable { case others, all }

    private func endAll(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["which"])
        let extent = query.choice("which", Extent.self) ?? .others
        try query.check()
        try await service.endAll(sparingCurrent: extent == .others, of: call.account(), caller: call.caller)
        return .done
    }

    // MARK: The account itself

    private func me(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        call.clock.mark(.parse)
        let account = try await service.account(of: call.account())
        call.clock.mark(.fetch)
        return .account(account)
    }
}

extension Reply {
    /// Done, and the session's cookies are taken away.
    static var signedOut: Reply {
        var reply = Reply.done
        reply.cookies = [.removing(SessionCookie.access), .removing(SessionCookie.refresh)]
        return reply
    }
}
