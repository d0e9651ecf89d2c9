import Contract
import HTTPAPI
import HTTPTypes
import JSON
import Mail
import NIOCore

/// Making an account, proving whose it is, and changing it.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | POST | /api/auth/register | anyone |
/// | POST | /api/auth/verify-email | anyone |
/// | POST | /api/auth/resend-verification | anyone |
/// | POST | /api/auth/forgot-password | anyone |
/// | POST | /api/auth/reset-password | anyone |
/// | POST | /api/auth/change-password | signedIn |
/// | PUT | /api/auth/email | signedIn |
/// | PUT | /api/auth/profile, /api/auth/update-profile, /api/users/me, /api/users/profile | signedIn |
/// | PUT | /api/users/me/username | signedIn |
/// | POST | /api/users/me/creator | signedIn |
/// | DELETE | /api/users/me | signedIn |
public struct AccountRoutes: Sendable {
    private let service: AccountService
    private let profiles: AccountProfileService

    public init(service: AccountService, profiles: AccountProfileService) {
        self.service = service
        self.profiles = profiles
    }

    public var routes: [Route] {
        [
            .post("/api/auth/register", .anyone, rate: .registration) { call throws(Problem) in try await register(&call) }
                .toleratingDeadCredentials,
            .post("/api/auth/verify-email", .anyone, rate: .signIn) { call throws(Problem) in try await verifyEmail(&call) }
                .toleratingDeadCredentials,
            .post("/api/auth/resend-verification", .anyone, rate: .recovery) { call throws(Problem) in try await resend(&call) }
                .toleratingDeadCredentials,
            .post("/api/auth/forgot-password", .anyone, rate: .recovery) { call throws(Problem) in try await forgotPassword(&call) }
                .toleratingDeadCredentials,
            .post("/api/auth/reset-password", .anyone, rate: .signIn) { call throws(Problem) in try await resetPassword(&call) }
                .toleratingDeadCredentials,
            .post("/api/auth/change-password", .signedIn, rate: .signIn, idempotency: .ignored) { call throws(Problem) in
                try await changePassword(&call)
            },
            .put("/api/auth/email", .signedIn) { call throws(Problem) in try await changeEmail(&call) },
            .put("/api/users/me/username", .signedIn) { call throws(Problem) in try await rename(&call) },
            .post("/api/users/me/creator", .signedIn) { call throws(Problem) in try await becomeCreator(&call) },
            Route(.delete, "/api/users/me", .signedIn, rate: .signIn, body: .json) { call throws(Problem) in try await delete(&call) },
        ]
            + ["/api/auth/profile", "/api/auth/update-profile", "/api/users/me", "/api/users/profile"].map { path in
                .put(path, .signedIn) { call throws(Problem) in try await changeProfile(&call) }
            }
    }

    // MARK: Making one

    private func register(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["email", "username", "password", "displayName", "cookies"])
        let (email, username) = (input.email("email"), input.username("username"))
        let password = input.requiredText("password", 1...1024)
        let displayName = input.displayName("displayName")
        let inCookies = input.bool("cookies") ?? false
        if !password.isEmpty, let complaint = service.complaint(password, names: [email?.description, username].compactMap { $0 }) {
            input.complain("password", complaint)
        }
        try input.check()
        guard let email, let username else { throw .unexpected }
        call.clock.mark(.parse)
        let registered = try await service.register(
            Registration(email: email, username: username, displayName: displayName), password: password, caller: call.caller)
        call.clock.mark(.fetch)
        switch registered {
        case .signedIn(let signedIn):
            var reply = SessionRoutes.reply(signedIn, inCookies: inCookies)
            reply.status = .created
            return reply
        case .mailed: return .mailed("A mail to this address says how to go on.")
        }
    }

    // MARK: Links in mails

    private func verifyEmail(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["token"])
        let token = input.requiredText("token", 1...100)
        try input.check()
        try await service.verifyAddress(token, caller: call.caller)
        return .done
    }

    private func resend(_ call: inout Call) async throws(Problem) -> Reply {
        try await service.resendVerification(to: Self.email(&call))
        return .mailed("If an account waits for this address to be verified, a mail with another link is on its way.")
    }

    private func forgotPassword(_ call: inout Call) async throws(Problem) -> Reply {
        try await service.forgotPassword(Self.email(&call))
        return .mailed("If there is an account with this address, a mail with a link that sets a new password is on its way.")
    }

    private static func email(_ call: inout Call) throws(Problem) -> EmailAddress {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["email"])
        let email = input.email("email")
        try input.check()
        guard let email else { throw .unexpected }
        call.clock.mark(.parse)
        return email
    }

    private func resetPassword(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["token", "password"])
        let (token, password) = (input.requiredText("token", 1...100), input.requiredText("password", 1...1024))
        if !password.isEmpty, let complaint = service.complaint(password, names: []) { input.complain("password", complaint) }
        try input.check()
        try await service.resetPassword(token, password: password, caller: call.caller)
        return .done
    }

    // MARK: Signed in

    private func changePassword(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["currentPassword", "newPassword"])
        let (old, new) = (input.requiredText("currentPassword", 1...1024), input.requiredText("newPassword", 1...1024))
        try input.check()
        try await service.changePassword(of: call.account(), from: old, to: new, caller: call.caller)
        return .done
    }

    private func changeEmail(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["email", "currentPassword"])
        let (email, password) = (input.email("email"), input.requiredText("currentPassword", 1...1024))
        try input.check()
        guard let email else { throw .unexpected }
        try await service.changeAddress(of: call.account(), to: email, password: password, caller: call.caller)
        return .mailed("A mail to this address says how to go on; until then the old one stays.")
    }

    private func changeProfile(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["displayName", "bio", "avatarUrl", "socialLinks", "preferences"])
        let change = input.profileChange()
        try input.check()
        call.clock.mark(.parse)
        let account = try await profiles.change(call.account(), change, ifVersion: IfMatch(call))
        call.clock.mark(.fetch)
        return .account(account)
    }

    private func rename(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["username"])
        let username = input.username("username")
        try input.check()
        guard let username else { throw .unexpected }
        return .account(
            try await profiles.rename(call.account(), to: username, ifVersion: IfMatch(call), caller: call.caller))
    }

    private func becomeCreator(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        _ = try call.input(allowed: [])
        return .account(try await profiles.becomeCreator(call.account(), claim: call.claim, caller: call.caller))
    }

    private func delete(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["password"])
        let password = input.text("password", 1...1024) ?? ""
        try input.check()
        try await profiles.delete(call.account(), password: password, caller: call.caller)
        return .signedOut
    }
}

extension Reply {
    /// An account to its holder, with the tag that `If-Match` takes. Kept by nobody.
    static func account(_ account: OwnAccount) -> Reply {
        Reply(body: ByteBuffer(bytes: account.json), etag: account.etag, cacheControl: .never)
    }

    /// 202: the rest is said by mail, to whoever reads it.
    static func mailed(_ detail: String) -> Reply {
        var json = JSONWriter(capacity: 128)
        json.object { json in
            json.key("detail")
            json.string(detail)
        }
        return Reply(status: .accepted, body: ByteBuffer(bytes: json.bytes))
    }
}
