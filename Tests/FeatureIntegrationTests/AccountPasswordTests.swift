import Contract
import Credentials
import DataPlane
import Mail
import PostgresClient
import Testing

@testable import Identity

/// Passwords and addresses that are forgotten and changed.
@Suite struct AccountPasswordTests {
    private static let new = "copper lantern 81"

    private func reset(_ desk: AccountDesk, _ token: String, _ password: String = new) async throws(Problem) {
        try await desk.accounts.resetPassword(token, password: password, caller: SessionDesk.caller)
    }

    private func forget(_ desk: AccountDesk, _ name: String) async throws -> String {
        try await desk.accounts.forgotPassword(try #require(EmailAddress(SessionDesk.email(name))))
        return try await desk.token(mailedTo: SessionDesk.email(name))
    }

    @Test func aResetSetsThePasswordAndEndsEverySession() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let id = try await desk.session.makeAccount("nora")
            let before = try await desk.session.login("nora")
            let token = try await forget(desk, "nora")
            try await reset(desk, token)
            #expect(await problem { () throws(Problem) in try await desk.session.account(before) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.session.refresh(before) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.session.login("nora") } == .unauthenticated)
            _ = try await desk.session.login("nora", password: Self.new)
            #expect(try await desk.mails(to: "nora@example.com").map(\.template) == ["reset_password", "password_changed"])
            #expect(try await desk.audited("password_reset", of: id) == 1)
            #expect(await problem { () throws(Problem) in try await reset(desk, token) } == .invalidRequest)
        }
    }

    @Test func aResetLinkIsGoodForHalfAnHourAndForItsPurposeAlone() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.session.makeAccount("nora")
            let token = try await forget(desk, "nora")
            #expect(await problem { () throws(Problem) in try await desk.verify(token) } == .invalidRequest)
            #expect(
                try await stack.count(
                    "email_tokens WHERE expires_at BETWEEN now() + interval '29 minutes' AND now() + interval '30 minutes'") == 1)
            try await stack.owner.run("UPDATE email_tokens SET expires_at = now()")
            #expect(await problem { () throws(Problem) in try await reset(desk, token) } == .invalidRequest)
        }
    }

    @Test func aPasswordThatMayNotBeChosenUsesNoTokenUp() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.session.makeAccount("nora-long-name")
            let token = try await forget(desk, "nora-long-name")
            #expect(await problem { () throws(Problem) in try await reset(desk, token, "short") } == .invalidRequest)
            #expect(await problem { () throws(Problem) in try await reset(desk, token, "Nora-Long-Name") } == .invalidRequest)
            try await reset(desk, token)
        }
    }

    @Test func whoeverResetsThePasswordOfAPendingAccountHasProvenTheAddress() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.register("nora")
            try await reset(desk, try await forget(desk, "nora"))
            #expect(try await desk.session.login("nora", password: Self.new).account.isEmailVerified)
            #expect(try await stack.count("held_usernames") == 0)
        }
    }

    @Test func aChangedPasswordEndsTheOtherSessionsAndNotThisOne() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.session.makeAccount("nora")
            let (this, other) = (try await desk.session.login("nora"), try await desk.session.login("nora"))
            let account = try await desk.session.account(this)
            try await desk.accounts.changePassword(
                of: account, from: SessionDesk.password, to: Self.new, caller: SessionDesk.caller)
            _ = try await desk.session.account(this)
            #expect(await problem { () throws(Problem) in try await desk.session.account(other) } == .unauthenticated)
            #expect(try await stack.texts("SELECT revoked_reason FROM sessions WHERE revoked_at IS NOT NULL") == ["password_changed"])
            _ = try await desk.session.login("nora", password: Self.new)
        }
    }

    @Test func onlyWhoKnowsThePasswordChangesItOrTheAddress() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            let email = try #require(EmailAddress("new@example.com"))
            #expect(
                await problem { () throws(Problem) in
                    try await desk.accounts.changePassword(of: account, from: "wrong wrong", to: Self.new, caller: SessionDesk.caller)
                } == .invalidRequest)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.accounts.changeAddress(of: account, to: email, password: "wrong wrong", caller: SessionDesk.caller)
                } == .invalidRequest)
            #expect(try await desk.audited("password_refused", of: account.id) == 2)
            #expect(try await stack.count("mails") == 0)
        }
    }

    // MARK: The address

    @Test func anAddressIsTheAccountsOnceItsLinkIsFollowedAndTheOldOneIsTold() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            let email = try #require(EmailAddress("new@example.com"))
            try await desk.accounts.changeAddress(of: account, to: email, password: SessionDesk.password, caller: SessionDesk.caller)
            #expect(try await stack.texts("SELECT email FROM user_accounts") == ["nora@example.com"])
            try await desk.verify(desk.token(mailedTo: "new@example.com"))
            #expect(try await stack.texts("SELECT email FROM user_accounts WHERE email_verified_at IS NOT NULL") == ["new@example.com"])
            #expect(try await desk.mails(to: "nora@example.com").map(\.template) == ["address_changed"])
        }
    }

    @Test func noAddressOfAnotherAccountIsTakenOver() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            try await desk.session.makeAccount("mina")
            let email = try #require(EmailAddress("Mina@example.com"))
            try await desk.accounts.changeAddress(of: account, to: email, password: SessionDesk.password, caller: SessionDesk.caller)
            #expect(try await desk.mails(to: "mina@example.com").map(\.template) == ["already_registered"])
            // Nor one that became another's while the link was on its way.
            let free = try #require(EmailAddress("free@example.com"))
            try await desk.accounts.changeAddress(of: account, to: free, password: SessionDesk.password, caller: SessionDesk.caller)
            let token = try await desk.token(mailedTo: "free@example.com")
            try await desk.session.makeAccount("free")
            #expect(await problem { () throws(Problem) in try await desk.verify(token) } == .conflict)
            #expect(
                try await stack.texts("SELECT email FROM user_accounts ORDER BY 1") == [
                    "free@example.com", "mina@example.com", "nora@example.com",
                ])
        }
    }
}
