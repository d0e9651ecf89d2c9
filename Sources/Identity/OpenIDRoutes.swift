import Contract
import Credentials
import HTTPAPI
import HTTPTypes
import JSON
import NIOCore

/// Signing in elsewhere, and joining what one is elsewhere to an account.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/auth/openid | anyone |
/// | GET | /api/auth/openid/{provider}/start | anyone |
/// | GET | /api/auth/openid/{provider}/callback | anyone |
/// | POST | /api/auth/openid/second-factor | anyone |
/// | POST | /api/auth/openid/{provider}/link | signedIn |
/// | DELETE | /api/auth/openid/{provider}/link | signedIn |
public struct OpenIDRoutes: Sendable {
    private let service: OpenIDSignIn

    public init(service: OpenIDSignIn) { self.service = service }

    public var routes: [Route] {
        let path = "/api/auth/openid"
        return [
            .get(path, .anyone) { call throws(Problem) in try await list(&call) },
            .get("\(path)/{provider}/start", .anyone, rate: .signIn) { call throws(Problem) in
                try await start(&call)
            }.toleratingDeadCredentials,
            .get("\(path)/{provider}/callback", .anyone, rate: .signIn) { call throws(Problem) in
                try await callback(&call)
            }.toleratingDeadCredentials,
            .post("\(path)/second-factor", .anyone, rate: .signIn) { call throws(Problem) in
                try await finish(&call)
            }.toleratingDeadCredentials,
            .post("\(path)/{provider}/link", .signedIn, rate: .signIn, idempotency: .ignored) { call throws(Problem) in
                try await link(&call)
            },
            .delete("\(path)/{provider}/link", .signedIn) { call throws(Problem) in try await unlink(&call) },
        ]
    }

    private func list(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        return .json(try await providers(for: call.principal.account))
    }

    /// The providers; for an account, whether it has an identity there.
    private func providers(for account: Account?) async throws(Problem) -> [UInt8] {
        var linked: Set<String>?
        if let account { linked = try await service.linked(account) }
        var json = JSONWriter()
        json.object { json in
            json.key("items")
            json.array { json in
                for provider in service.providers {
                    json.object { json in
                        json.key("name")
                        json.string(provider.name)
                        json.key("label")
                        json.string(provider.label)
                        json.key("startUrl")
                        json.string("/api/auth/openid/\(provider.name)/start")
                        if let linked {
                            json.key("isLinked")
                            json.bool(linked.contains(provider.name))
                        }
                    }
                }
            }
        }
        return json.bytes
    }

    // MARK: There

    private func start(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["returnTo"])
        let returnTo = query.text("returnTo", longest: ReturnPath.longest)
        if let returnTo, !ReturnPath.isOurs(returnTo) { query.complain("returnTo", ReturnPath.complaint) }
        try query.check()
        call.clock.mark(.parse)
        let browser = OpenIDBrowser(cookie: call.cookie(OpenIDBrowser.cookie))
        let url = try await service.depart(to: call.parameter("provider"), returnTo: returnTo, browser: browser)
        call.clock.mark(.fetch)
        return Self.keeping(browser, in: Self.redirect(to: url))
    }

    private func link(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["password", "returnTo"])
        let password = input.text("password", 1...1024) ?? ""
        let returnTo = input.text("returnTo", 1...ReturnPath.longest)
        if let returnTo, !ReturnPath.isOurs(returnTo) { input.complain("returnTo", ReturnPath.complaint) }
        try input.check()
        call.clock.mark(.parse)
        let browser = OpenIDBrowser(cookie: call.cookie(OpenIDBrowser.cookie))
        let url = try await service.departToLink(
            call.parameter("provider"), to: call.account(), password: password, returnTo: returnTo, browser: browser, caller: call.caller)
        call.clock.mark(.fetch)
        var json = JSONWriter()
        json.object { json in
            json.key("url")
            json.string(url)
        }
        return Self.keeping(browser, in: .json(json.bytes))
    }

    private func unlink(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        try await service.unlink(call.parameter("provider"), from: call.account(), caller: call.caller)
        return .done
    }

    // MARK: And back

    private func callback(_ call: inout Call) async throws(Problem) -> Reply {
        // What providers add of their own is none of our business (RFC 6749 §4.1.2).
        var query = try call.query(allowed: ["code", "state", "iss", "error"], ignoringOthers: true)
        let state = query.text("state")
        let answer = OpenIDExchange.Answer(
            code: query.text("code", longest: 2048), issuer: query.text("iss", longest: 2048), error: query.text("error"))
        try query.check()
        call.clock.mark(.parse)
        let browser = OpenIDBrowser(cookie: call.cookie(OpenIDBrowser.cookie))
        let (arrival, returnTo) = try await service.arrive(
            from: call.parameter("provider"), state: state, answer: answer, browser: browser, caller: call.caller)
        call.clock.mark(.fetch)
        guard let returnTo else { return try await reply(arrival, call.principal.account) }
        switch arrival {
        case .signedIn(let signedIn):
            var reply = Self.redirect(to: returnTo)
            reply.cookies = SessionRoutes.reply(signedIn, inCookies: true).cookies
            return reply
        case .secondFactorNeeded(let continuation):
            return Self.redirect(to: ReturnPath.adding("signInContinuation", continuation, to: returnTo))
        case .linked: return Self.redirect(to: returnTo)
        case .failed(let problem): return Self.redirect(to: ReturnPath.adding("signInProblem", problem.code.rawValue, to: returnTo))
        }
    }

    private func reply(_ arrival: OpenIDSignIn.Arrival, _ account: Account?) async throws(Problem) -> Reply {
        switch arrival {
        case .signedIn(let signedIn): return SessionRoutes.reply(signedIn, inCookies: false)
        case .secondFactorNeeded(let continuation):
            var json = JSONWriter()
            json.object { json in
                json.key("continuation")
                json.string(continuation)
            }
            return .json(json.bytes)
        case .linked: return .json(try await providers(for: account))
        case .failed(let problem): throw problem
        }
    }

    private func finish(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["continuation", "code", "cookies"])
        let continuation = input.requiredText("continuation", 1...1024)
        let code = input.requiredText("code", 1...64)
        let inCookies = input.bool("cookies") ?? false
        try input.check()
        guard !inCookies || call.isSameSite else {
            throw Problem(.crossSite, "Cookies are set for pages of this site alone; sign in without cookies.")
        }
        call.clock.mark(.parse)
        let browser = OpenIDBrowser(cookie: call.cookie(OpenIDBrowser.cookie))
        let signedIn = try await service.finish(continuation, code: code, browser: browser, caller: call.caller)
        call.clock.mark(.fetch)
        return SessionRoutes.reply(signedIn, inCookies: inCookies)
    }

    // MARK: Fields

    private static func redirect(to target: String) -> Reply {
        Reply(status: .seeOther, body: ByteBuffer(), extraFields: [(.location, target)])
    }

    private static func keeping(_ browser: OpenIDBrowser, in reply: Reply) -> Reply {
        var reply = reply
        reply.cookies.append(SetCookie(OpenIDBrowser.cookie, browser.token.secret, lifetime: OpenIDSignIn.patience))
        return reply
    }
}

/// Where a browser goes on to: a path of the site itself, so that no link of ours leads to somebody else's page.
enum ReturnPath {
    static let longest = 1024
    static let complaint = "must be a path of this site, such as /library?page=2"

    static func isOurs(_ path: String) -> Bool {
        // A browser reads `//host` and `/\host` as another site's, and drops tabs and line ends.
        path.first == "/" && !path.hasPrefix("//") && path.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\\") }
    }

    /// `path` with a parameter, which goes before its fragment.
    static func adding(_ name: String, _ value: String, to path: String) -> String {
        let parts = path.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let query = "\(parts[0])\(parts[0].contains("?") ? "&" : "?")\(name)=\(FormEncoding.encode(value))"
        return parts.count > 1 ? "\(query)#\(parts[1])" : query
    }
}
