import Contract
import Credentials
import DataPlane
import Foundation
import RateLimits
import Synchronization
import TestSupport
import Testing

@testable import Identity

/// What signing in with a password takes, and what it tells.
@Suite struct SignInTests {
    private final class VirtualClock: Sendable {
        let microseconds = Atomic<Int64>(0)
    }

    @Test func addressAndPasswordOpenASessionInAnyCapitals() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora", roles: ["user", "creator"])
            let signedIn = try await desk.signIn.signIn(
                .init(email: "Nora@EXAMPLE.com", password: SessionDesk.password, code: nil), caller: SessionDesk.caller)
            let account = try await desk.account(signedIn)
            #expect(account.id == id && account.roles == [.user, .creator] && account.isVerified && !account.hasSecondFactor)
            #expect(signedIn.lifetime == .seconds(600))
            #expect(try await stack.count("audit_log WHERE action = 'logged_in' AND actor_id = '\(id)'") == 1)
        }
    }

    @Test func aWrongPasswordAndAnUnknownAddressHaveTheSameAnswer() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            try await desk.makeAccount("gone", status: "deleted")
            try await desk.makeAccount("elsewhere")
            try await stack.owner.run(
                "DELETE FROM user_credentials WHERE user_id = (SELECT id FROM users WHERE username = 'elsewhere')")
            var problems: [Problem] = []
            for (name, password) in [
                ("nora", "wrong"), ("nobody", SessionDesk.password), ("gone", SessionDesk.password), ("elsewhere", SessionDesk.password),
                ("nora", String(repeating: "x", count: 300)),
            ] {
                do throws(Problem) { _ = try await desk.login(name, password: password) } catch { problems.append(error) }
            }
            #expect(problems.count == 5 && problems.allSatisfy { $0 == problems[0] && $0.code == .unauthenticated })
            #expect(try await stack.count("audit_log WHERE action = 'login_failed' AND target_id = '\(id)'") == 2)
            #expect(try await stack.count("sessions") == 0)
        }
    }

    @Test func onlyTheRightPasswordHearsThatAnAccountIsSuspended() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora", status: "suspended")
            #expect(await problem { () throws(Problem) in try await desk.login("nora", password: "wrong") } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.login("nora") } == .accountSuspended)
        }
    }

    @Test func anUnverifiedAddressSignsInInDevelopmentAlone() async throws {
        try await Stack.use { stack in
            let production = try await SessionDesk(stack, admitsUnverified: false)
            try await production.makeAccount("nora", isVerified: false)
            #expect(await problem { () throws(Problem) in try await production.login("nora", password: "wrong") } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await production.login("nora") } == .forbidden)
            let development = try await SessionDesk(stack)
            #expect(try await development.account(development.login("nora")).isVerified == false)
        }
    }

    @Test func aHashOfAnotherCostOrFormIsRenewed() async throws {
        try await Stack.use { stack in
            let old = try await SessionDesk(stack, cost: 4)
            let id = try await old.makeAccount("nora")
            // As Supabase exports it.
            try await stack.owner.run("UPDATE user_credentials SET password_hash = replace(password_hash, '$2b$', '$2a$')")
            let hash = "SELECT password_hash FROM user_credentials WHERE user_id = '\(id)'"
            _ = try await old.login("nora")
            let renewed = try await stack.texts(hash)
            #expect(renewed.first?.hasPrefix("$2b$04$") == true)
            _ = try await old.login("nora")
            #expect(try await stack.texts(hash) == renewed)
            let new = try await SessionDesk(stack, cost: 5)
            _ = try await new.login("nora")
            #expect(try await stack.texts(hash).first?.hasPrefix("$2b$05$") == true)
            _ = try await new.login("nora")
        }
    }

    @Test func noSessionOpensWithAPasswordThatIsBeingChanged() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            let store = SignInStore(postgres: PostgresAccess(stack.postgres, observer: stack.recorder), timeout: .seconds(5))
            let since = try #require(try await store.find(email: SessionDesk.email("nora"))?.passwordSince)
            try await stack.owner.run("UPDATE user_credentials SET changed_at = now() + interval '1 millisecond'")
            let code = await problem { () throws(Problem) in
                try await desk.sessions.open(id, caller: SessionDesk.caller, proof: .password(since: since))
            }
            #expect(code == .unauthenticated)
            #expect(try await stack.count("sessions") == 0)
        }
    }

    @Test func guessesAtOneAddressAreSlowedDownWhereverTheyComeFromAndNobodyIsLockedOut() async throws {
        try await Stack.use { stack in
            var rules = LimitRules()
            rules[.signIn, .subject] = RateRule(limit: 3, seconds: 300)
            let clock = VirtualClock()
            let limiter = RequestLimiter(rules: rules, redis: nil, observer: stack.recorder) {
                clock.microseconds.load(ordering: .relaxed)
            }
            let desk = try await SessionDesk(stack, limiter: limiter)
            try await desk.makeAccount("nora")
            try await desk.makeAccount("otto")
            var codes: [Problem.Code?] = []
            for _ in 0..<5 { codes.append(await problem { () throws(Problem) in try await desk.login("nora", password: "wrong") }) }
            #expect(codes == [.unauthenticated, .unauthenticated, .unauthenticated, .rateLimited, .rateLimited])
            // Nobody else is slowed down; an address without an account is, just the same.
            #expect(await problem { () throws(Problem) in try await desk.login("otto") } == nil)
            for _ in 0..<3 { _ = await problem { () throws(Problem) in try await desk.login("nobody") } }
            #expect(await problem { () throws(Problem) in try await desk.login("nobody") } == .rateLimited)
            clock.microseconds.store(100_000_000, ordering: .relaxed)
            #expect(await problem { () throws(Problem) in try await desk.login("nora") } == nil)
        }
    }

    /// Medians of 200 tries each, taken in turns so that whatever else the machine does falls on both. `scripts/test` runs it by itself.
    @Test func timeDoesNotTellWhetherAnAccountIsThere() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack, cost: 6)
            try await desk.makeAccount("nora")
            func time(_ name: String) async -> Double {
                let start = ContinuousClock.now
                _ = await problem { () throws(Problem) in try await desk.login(name, password: "wrong horse 1") }
                return (ContinuousClock.now - start).inSeconds * 1000
            }
            _ = (await time("nora"), await time("nobody"))
            var (known, unknown): ([Double], [Double]) = ([], [])
            for _ in 0..<200 {
                known.append(await time("nora"))
                unknown.append(await time("nobody"))
            }
            let medians = (known.sorted()[100], unknown.sorted()[100])
            print("medians of 200: known \(medians.0) ms, unknown \(medians.1) ms")
            #expect(abs(medians.0 / medians.1 - 1) <= 0.05)
        }
    }

    @Test func noPasswordTokenOrSecretIsWrittenAnywhere() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let signedIn = try await desk.refresh(desk.login("nora"))
            _ = await problem { () throws(Problem) in try await desk.login("nora", password: "a wrong password 5") }
            _ = try await desk.refresh(signedIn)
            let attempt = PasswordSignIn.Attempt(email: "e", password: "hidden-password", code: "hidden-code")
            let log = "\(stack.recorder.all) \(signedIn) \(attempt) \(String(reflecting: signedIn)) \(String(reflecting: attempt))"
            let audit = try await stack.texts("SELECT audit_log::text FROM audit_log").joined()
            for secret in [
                SessionDesk.password, "a wrong password 5", signedIn.accessToken, signedIn.refreshToken.secret, "hidden-password",
                "hidden-code", "$2b$",
            ] { #expect(!log.contains(secret) && !audit.contains(secret)) }
        }
    }
}
