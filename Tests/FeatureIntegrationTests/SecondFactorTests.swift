import Contract
import Credentials
import Foundation
import PostgresClient
import RateLimits
import TestSupport
import Testing

@testable import Identity

/// One-time codes: enrolling, proving, recovering, and what admins need them for.
@Suite struct SecondFactorTests {
    /// The app on the holder's device.
    private struct App {
        let code: TimeBasedCode

        init(_ enrolment: SecondFactorService.Enrolment) throws {
            code = TimeBasedCode(secret: try #require(Base32.decode(enrolment.secret)))
        }

        /// What it shows so many periods of 30 seconds from now; one way or the other is tolerated, and each counts once.
        func shows(_ periods: Int64 = 0) -> String {
            code.code(at: Timestamp(microseconds: Timestamp.now.microseconds + periods * 30_000_000))
        }
    }

    /// An account that has confirmed a second factor with the code of the period before this one.
    private func enrolled(_ desk: SessionDesk, _ name: String, roles: [String] = ["user"]) async throws -> (App, [RecoveryCode], SignedIn) {
        try await desk.makeAccount(name, roles: roles)
        let signedIn = try await desk.login(name)
        let account = try await desk.account(signedIn)
        let app = try App(try await desk.secondFactor.enrol(account, password: SessionDesk.password, caller: SessionDesk.caller))
        let codes = try await desk.secondFactor.confirm(account, code: app.shows(-1), caller: SessionDesk.caller)
        return (app, codes, signedIn)
    }

    @Test func enrollingCountsForNothingUntilItIsConfirmed() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            let account = try await desk.account(desk.login("nora"))
            let enrolment = try await desk.secondFactor.enrol(account, password: SessionDesk.password, caller: SessionDesk.caller)
            #expect(enrolment.uri.hasPrefix("otpauth://totp/KabaBeat:nora%40example.com?secret=\(enrolment.secret)&issuer=KabaBeat"))
            _ = try await desk.login("nora")
            // Begun anew, the first secret is none any more.
            let again = try await desk.secondFactor.enrol(account, password: SessionDesk.password, caller: SessionDesk.caller)
            let (old, new) = (try App(enrolment), try App(again))
            let code = await problem { () throws(Problem) in
                try await desk.secondFactor.confirm(account, code: old.shows(), caller: SessionDesk.caller)
            }
            #expect(code == .invalidRequest)
            _ = try await desk.secondFactor.confirm(account, code: new.shows(), caller: SessionDesk.caller)
            #expect(await problem { () throws(Problem) in try await desk.login("nora") } == .secondFactorNeeded)
            let sealed = try await stack.texts("SELECT encode(sealed, 'escape') FROM one_time_secrets WHERE user_id = '\(id)'")
            #expect(sealed.count == 1 && !sealed[0].contains(again.secret))
        }
    }

    @Test func enrollingTakesThePassword() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let account = try await desk.account(desk.login("nora"))
            for password in ["", "wrong"] {
                let code = await problem { () throws(Problem) in
                    try await desk.secondFactor.enrol(account, password: password, caller: SessionDesk.caller)
                }
                #expect(code == .invalidRequest)
            }
        }
    }

    @Test func anAccountWithoutAPasswordHasJustSignedInInstead() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            let account = try await desk.account(desk.login("nora"))
            try await stack.owner.run("DELETE FROM user_credentials WHERE user_id = '\(id)'")
            func enrol(_ account: Account) async -> Problem.Code? {
                await problem { () throws(Problem) in
                    try await desk.secondFactor.enrol(account, password: "", caller: SessionDesk.caller)
                }
            }
            #expect(await enrol(account) == nil)
            // Another issuer's token is no sign-in of ours.
            #expect(
                await enrol(Account(id: id, sessionID: nil, roles: account.roles, isVerified: true, hasSecondFactor: false)) == .forbidden)
            try await stack.owner.run("UPDATE sessions SET created_at = now() - interval '16 minutes'")
            #expect(await enrol(account) == .forbidden)
        }
    }

    @Test func signingInTakesACodeAndTheSessionRemembersIt() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let (app, _, first) = try await enrolled(desk, "nora")
            #expect(try await desk.account(first).hasSecondFactor)
            #expect(await problem { () throws(Problem) in try await desk.login("nora") } == .secondFactorNeeded)
            for code in ["000000", "", "123", "abcdef", String(repeating: "A", count: 24)] where code != app.shows() {
                #expect(await problem { () throws(Problem) in try await desk.login("nora", code: code) } == .secondFactorNeeded)
            }
            // The password comes first: a code tells nothing without it.
            let code = await problem { () throws(Problem) in
                try await desk.login("nora", password: "wrong", code: app.shows())
            }
            #expect(code == .unauthenticated)
            let signedIn = try await desk.login("nora", code: app.shows())
            #expect(try await desk.account(signedIn).hasSecondFactor)
            #expect(try await desk.account(desk.refresh(signedIn)).hasSecondFactor)
        }
    }

    @Test func aCodeCountsOnce() async throws {
        try await Stack.use { stack in
            let (one, other) = (try await SessionDesk(stack), try await SessionDesk(stack))
            let (app, _, _) = try await enrolled(one, "nora")
            let code = app.shows()
            let outcomes = await withTaskGroup(of: Problem.Code?.self) { group in
                for desk in [one, other, one, other] {
                    group.addTask { await problem { () throws(Problem) in try await desk.login("nora", code: code) } }
                }
                return await group.reduce(into: [Problem.Code?]()) { $0.append($1) }
            }
            #expect(outcomes.count { $0 == nil } == 1 && outcomes.count { $0 == .secondFactorNeeded } == 3)
            // What was shown before a code that was used counts no more, either.
            #expect(await problem { () throws(Problem) in try await one.login("nora", code: app.shows(-1)) } == .secondFactorNeeded)
            #expect(await problem { () throws(Problem) in try await one.login("nora", code: app.shows(1)) } == nil)
        }
    }

    @Test func confirmingEndsEverySessionThatHasShownNoSecondFactor() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let (older, mine) = (try await desk.login("nora"), try await desk.login("nora"))
            let account = try await desk.account(mine)
            let app = try App(try await desk.secondFactor.enrol(account, password: SessionDesk.password, caller: SessionDesk.caller))
            _ = try await desk.account(older)
            _ = try await desk.secondFactor.confirm(account, code: app.shows(-1), caller: SessionDesk.caller)
            #expect(await problem { () throws(Problem) in try await desk.account(older) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.refresh(older) } == .unauthenticated)
            #expect(try await desk.account(mine).hasSecondFactor)
            // One that has shown it stays; without it, there is none.
            let proven = try await desk.login("nora", code: app.shows())
            _ = try await desk.refresh(proven)
            #expect(try await stack.count("sessions WHERE revoked_at IS NULL AND second_factor_at IS NULL") == 0)
            #expect(try await stack.count("sessions WHERE revoked_reason = 'second_factor_enabled'") == 1)
        }
    }

    @Test func aSignInWithoutACodeThatIsUnderWayWhileTheFactorIsConfirmedOpensNothing() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            let account = try await desk.account(desk.login("nora"))
            _ = try await desk.secondFactor.enrol(account, password: SessionDesk.password, caller: SessionDesk.caller)
            let confirm = PostgresStatement<Void>("UPDATE one_time_secrets SET confirmed_at = now() WHERE user_id = '\(id)'")
            let opening = try await stack.owner.transaction(deadline: Stack.soon) { confirming in
                try await confirming.execute(confirm)
                let opening = Task { () async -> Problem.Code? in await problem { () throws(Problem) in try await desk.login("nora") } }
                let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                #expect(try await eventually { try await stack.count(waiting) == 1 })
                return opening
            }
            #expect(await opening.value == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.login("nora") } == .secondFactorNeeded)
            #expect(try await stack.count("sessions") == 1)
        }
    }

    @Test func aRecoveryCodeWorksOnceHoweverItIsTyped() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let (_, codes, first) = try await enrolled(desk, "nora")
            #expect(Set(codes.map(\.text)).count == RecoveryCode.count)
            _ = try await desk.login("nora", code: codes[0].text)
            #expect(await problem { () throws(Problem) in try await desk.login("nora", code: codes[0].text) } == .secondFactorNeeded)
            _ = try await desk.login("nora", code: codes[1].text.lowercased().replacing("-", with: " "))
            let status = try await desk.secondFactor.status(of: desk.account(first))
            #expect(status.isEnabled && status.recoveryCodesLeft == RecoveryCode.count - 2)
            let stored = try await stack.texts("SELECT recovery_codes::text FROM recovery_codes").joined()
            for code in codes { #expect(!stored.contains(code.text)) }
        }
    }

    @Test func anothersRecoveryCodeOpensNothing() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let (_, codes, _) = try await enrolled(desk, "nora")
            _ = try await enrolled(desk, "otto")
            #expect(await problem { () throws(Problem) in try await desk.login("otto", code: codes[0].text) } == .secondFactorNeeded)
            #expect(await problem { () throws(Problem) in try await desk.login("nora", code: codes[0].text) } == nil)
        }
    }

    @Test func removingTakesPasswordAndCode() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let (app, codes, signedIn) = try await enrolled(desk, "nora")
            let account = try await desk.account(signedIn)
            for (password, code) in [("wrong", app.shows()), (SessionDesk.password, "000000"), ("", codes[0].text)] {
                let code = await problem { () throws(Problem) in
                    try await desk.secondFactor.remove(account, password: password, code: code, caller: SessionDesk.caller)
                }
                #expect(code == .invalidRequest)
            }
            try await desk.secondFactor.remove(account, password: SessionDesk.password, code: app.shows(), caller: SessionDesk.caller)
            _ = try await desk.login("nora")
            #expect(try await desk.account(signedIn).hasSecondFactor == false)
            #expect(try await stack.count("recovery_codes") == 0)
        }
    }

    @Test func codesCannotBeGuessedByWhoeverHasThePassword() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            _ = try await enrolled(desk, "nora")
            var rules = LimitRules()
            rules[.signIn, .subject] = RateRule(limit: 3, seconds: 300)
            let strict = try await SessionDesk(stack, limiter: RequestLimiter(rules: rules, redis: nil, observer: stack.recorder) { 0 })
            var codes: [Problem.Code?] = []
            for guess in 0..<4 {
                codes.append(await problem { () throws(Problem) in try await strict.login("nora", code: "00000\(guess)") })
            }
            #expect(codes.last == .rateLimited)
        }
    }

    @Test func anAdminWithoutASecondFactorActsWithoutThatRoleWhereThatIsSet() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack, adminsNeedSecondFactor: true)
            try await desk.makeAccount("nora", roles: ["user", "creator", "admin"])
            let policy = Policy.role(.admin)
            let signedIn = try await desk.login("nora")
            let account = try await desk.account(signedIn)
            #expect(account.roles == [.user, .creator] && account.withheld == .admin)
            #expect(policy.decide(.account(account)) == .secondFactorNeeded)
            #expect(Policy.role(.creator).decide(.account(account)) == .allowed)
            let app = try App(try await desk.secondFactor.enrol(account, password: SessionDesk.password, caller: SessionDesk.caller))
            _ = try await desk.secondFactor.confirm(account, code: app.shows(), caller: SessionDesk.caller)
            #expect(policy.decide(.account(try await desk.account(signedIn))) == .allowed)
            let relaxed = try await SessionDesk(stack)
            #expect(policy.decide(.account(try await relaxed.account(signedIn))) == .allowed)
        }
    }
}
