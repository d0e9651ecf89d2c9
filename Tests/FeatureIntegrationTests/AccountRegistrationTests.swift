import HTTPAPI
import Contract
import Credentials
import DataPlane
import Mail
import PostgresClient
import RateLimits
import Testing

@testable import Identity

/// How accounts are made, and what that tells strangers: nothing.
@Suite struct AccountRegistrationTests {
    private static func isMailed(_ registered: AccountService.Registered) -> Bool {
        if case .mailed = registered { true } else { false }
    }

    @Test func aRegistrationMakesEveryPartOfAnAccount() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            #expect(Self.isMailed(try await desk.register("nora", email: "Nora@Example.com")))
            let row = try await stack.texts(
                """
                SELECT concat_ws(' ', username, users.status, email, email_verified_at IS NULL, role, social_links,
                       password_hash LIKE '$2b$%', password_hash LIKE '%harbour%')
                FROM users JOIN user_accounts AS a ON a.user_id = users.id JOIN user_roles AS r ON r.user_id = users.id
                     JOIN user_profiles AS p ON p.user_id = users.id JOIN user_credentials AS c ON c.user_id = users.id
                """)
            #expect(row == ["nora pending Nora@Example.com t user {} t f"])
            let mails = try await desk.mails(to: "nora@example.com")
            #expect(mails.map(\.template) == ["verify_address"])
            let id = try #require(EntityID(try await stack.texts("SELECT id::text FROM users")[0]))
            #expect(try await desk.audited("registered", of: id) == 1)
            #expect(try await stack.count("sessions") == 0)
        }
    }

    @Test func inDevelopmentARegistrationSignsInAtOnce() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack, admitsUnverified: true)
            guard case .signedIn(let signedIn) = try await desk.register("nora") else {
                Issue.record("nobody is signed in")
                return
            }
            #expect(try await desk.session.account(signedIn).id == signedIn.account.id)
            #expect(signedIn.account.status == .active && !signedIn.account.isEmailVerified)
            #expect(try await desk.profile("nora")?["username"] as? String == "nora")
            #expect(await problem { () throws(Problem) in try await desk.register("mina", email: "NORA@example.com") } == .conflict)
        }
    }

    @Test func nothingTellsAnAddressThatHasAnAccountFromOneThatHasNone() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.session.makeAccount("known")
            for (name, email) in [("mine-1", "KNOWN@example.com"), ("mine-2", "free@example.com")] {
                #expect(Self.isMailed(try await desk.register(name, email: email)))
                // No name appears, and each is taken afterwards, in any case.
                #expect(try await desk.profile(name) == nil)
                #expect(await problem { () throws(Problem) in try await desk.register(name, email: "other@example.com") } == .conflict)
                let upper = name.uppercased()
                #expect(await problem { () throws(Problem) in try await desk.register(upper, email: "other@example.com") } == .conflict)
                let account = try await desk.session.account(desk.session.login("known"))
                #expect(
                    await problem { () throws(Problem) in
                        try await desk.profiles.rename(account, to: name, ifVersion: .any, caller: SessionDesk.caller)
                    } == .conflict)
            }
            // Only the holder is told.
            #expect(try await desk.mails(to: "known@example.com").map(\.template) == ["already_registered"])
            #expect(try await desk.mails(to: "free@example.com").map(\.template) == ["verify_address"])
            #expect(try await desk.mails(to: "other@example.com").isEmpty)
        }
    }

    @Test func aNameIsFreeAgainWhenNobodyVerifiedItsAccountInTime() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.register("nora", email: "late@example.com")
            try await stack.owner.run("UPDATE held_usernames SET held_until = now() - interval '1 second'")
            try await desk.register("Nora", email: "other@example.com")
            try await desk.verify(desk.token(mailedTo: "other@example.com"))
            #expect(try await desk.profile("nora")?["username"] as? String == "Nora")
            // Who comes late is in, under another name.
            try await desk.verify(desk.token(mailedTo: "late@example.com"))
            #expect(try await stack.count("users WHERE status = 'active' AND username LIKE 'user-%'") == 1)
        }
    }

    @Test func aTakenNameIsRefusedAndNothingOfTheAttemptStays() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.session.makeAccount("nora")
            #expect(await problem { () throws(Problem) in try await desk.register("NORA", email: "other@example.com") } == .conflict)
            #expect(await problem { () throws(Problem) in try await desk.register("NORA", email: "nora@example.com") } == .conflict)
            #expect(try await stack.count("users") == 1)
            #expect(try await stack.count("mails") == 0)
            #expect(try await stack.count("held_usernames") == 0)
        }
    }

    @Test func tenRegistrationsOfOneAddressAtOnceMakeOneAccount() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<10 {
                    group.addTask { try await desk.register("nora-\(number)", email: number % 2 == 0 ? "n@example.com" : "N@Example.com") }
                }
                try await group.waitForAll()
            }
            #expect(try await stack.count("users") == 1)
            #expect(try await stack.count("user_accounts") == 1)
            #expect(try await stack.count("held_usernames") == 10)
        }
    }

    @Test func registrationsOfOneAddressAreFew() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack, rules: LimitRules())
            var codes: Set<Problem.Code> = []
            for number in 0..<30 {
                let code = await problem { () throws(Problem) in try await desk.register("nora-\(number)", email: "n@example.com") }
                if let code { codes.insert(code) }
            }
            #expect(codes == [.rateLimited])
        }
    }

    // MARK: Verifying

    @Test func anAccountIsInUseFromTheMomentThatItsAddressIsVerified() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.register("nora")
            #expect(await problem { () throws(Problem) in try await desk.session.login("nora") } == .forbidden)
            #expect(try await desk.profile("nora") == nil)
            try await desk.verify(desk.token(mailedTo: "nora@example.com"))
            #expect(try await desk.session.login("nora").account.isEmailVerified)
            #expect(try await desk.profile("nora")?["username"] as? String == "nora")
            #expect(try await stack.count("held_usernames") == 0)
        }
    }

    @Test func nobodyGetsIntoAnAccountWithThePasswordOfAnotherRegistration() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let email = "victim@example.com"
            func login(_ password: String) async -> Problem.Code? {
                await problem { () throws(Problem) in
                    try await desk.session.signIn.signIn(.init(email: email, password: password, code: nil), caller: SessionDesk.caller)
                }
            }
            // One before the holder registers, one after.
            try await desk.register("stranger", email: email, password: "foreign password 1")
            try await desk.register("holder", email: email, password: "password of my own")
            let token = try await desk.token(mailedTo: email)
            try await desk.register("stranger-2", email: email, password: "foreign password 2")
            let foreign = try await desk.token(mailedTo: email)
            // Asked for another link, the gateway cannot know whose it would be.
            try await desk.accounts.resendVerification(to: try #require(EmailAddress(email)))
            #expect(
                try await desk.mails(to: email).map(\.template) == ["verify_address", "verify_address", "verify_address", "reset_password"])
            try await desk.verify(token)
            #expect(await login("password of my own") == nil)
            #expect(await login("foreign password 1") == .unauthenticated)
            #expect(await login("foreign password 2") == .unauthenticated)
            #expect(try await desk.profile("holder") != nil)
            #expect(await problem { () throws(Problem) in try await desk.verify(foreign) } == .invalidRequest)
            // Their names are free, and their passwords forgotten.
            #expect(try await stack.count("held_usernames") == 0)
            #expect(try await stack.count("email_tokens WHERE password_hash IS NOT NULL") == 0)
        }
    }

    @Test func aLinkWorksOnceAlsoWhenItIsFollowedTenTimesAtOnce() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.register("nora")
            let token = try await desk.token(mailedTo: "nora@example.com")
            let worked = await withTaskGroup(of: Problem.Code?.self) { group in
                for _ in 0..<10 { group.addTask { await problem { () throws(Problem) in try await desk.verify(token) } } }
                return await group.reduce(into: 0) { if $1 == nil { $0 += 1 } }
            }
            #expect(worked == 1)
            #expect(await problem { () throws(Problem) in try await desk.verify(token) } == .invalidRequest)
            #expect(await problem { () throws(Problem) in try await desk.verify("nonsense") } == .invalidRequest)
        }
    }

    @Test func aLinkIsGoodForADayAndOnlyTheNewestIs() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.register("nora")
            let first = try await desk.token(mailedTo: "nora@example.com")
            let email = try #require(EmailAddress("NORA@example.com"))
            try await desk.accounts.resendVerification(to: email)
            let second = try await desk.token(mailedTo: "nora@example.com")
            #expect(await problem { () throws(Problem) in try await desk.verify(first) } == .invalidRequest)
            #expect(
                try await stack.count(
                    "email_tokens WHERE used_at IS NULL AND expires_at BETWEEN now() + interval '23 hours' AND now() + interval '1 day'")
                    == 1)
            try await stack.owner.run("UPDATE email_tokens SET expires_at = now()")
            #expect(await problem { () throws(Problem) in try await desk.verify(second) } == .invalidRequest)
        }
    }

    @Test func askingForAMailIsAnsweredAlikeInTheSameTimeWhateverThereIs() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.session.makeAccount("known")
            try await desk.session.makeAccount("unproven", isVerified: false)
            try await desk.session.makeAccount("suspended", status: "suspended")
            for name in ["known", "unproven", "suspended", "nobody"] {
                let email = try #require(EmailAddress(SessionDesk.email(name)))
                for isForgotten in [false, true] {
                    let start = ContinuousClock.now
                    if isForgotten {
                        try await desk.accounts.forgotPassword(email)
                    } else {
                        try await desk.accounts.resendVerification(to: email)
                    }
                    #expect(ContinuousClock.now - start >= .milliseconds(100), "\(name)")
                }
            }
            #expect(try await desk.mails(to: "known@example.com").map(\.template) == ["reset_password"])
            #expect(try await desk.mails(to: "unproven@example.com").map(\.template) == ["verify_address", "reset_password"])
            #expect(try await stack.count("mails") == 3)
        }
    }
}
