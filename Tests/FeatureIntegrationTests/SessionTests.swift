import Contract
import Credentials
import DataPlane
import PostgresClient
import Testing

@testable import Identity

/// How sessions are kept and ended.
@Suite struct SessionTests {
    // MARK: Refreshing

    @Test func aRefreshTokenGivesNewTokensAndTheSessionStaysTheSame() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            let first = try await desk.login("nora")
            let second = try await desk.refresh(first)
            #expect(second.refreshToken.secret != first.refreshToken.secret && second.accessToken != first.accessToken)
            #expect(try await desk.account(second) == desk.account(first))
            #expect(second.account.id == id)
        }
    }

    @Test func onlyDigestsOfRefreshTokensAreStored() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let signedIn = try await desk.login("nora")
            let rows = try await stack.texts("SELECT refresh_tokens::text FROM refresh_tokens")
            let digest = signedIn.refreshToken.digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(rows.count == 1 && rows[0].contains(digest) && !rows[0].contains(signedIn.refreshToken.secret))
        }
    }

    @Test func theParentOfTheActiveTokenIsTolerated() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let first = try await desk.login("nora")
            // The answer is lost; the client asks again with what it has.
            let lost = try await desk.refresh(first)
            let second = try await desk.refresh(first)
            _ = try await desk.account(second)
            #expect(await problem { () throws(Problem) in try await desk.refresh(lost) } == nil)
            #expect(await problem { () throws(Problem) in try await desk.refresh(second) } == nil)
        }
    }

    @Test func tenTabsThatRefreshTogetherAllStaySignedIn() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let first = try await desk.login("nora")
            let tabs = try await withThrowingTaskGroup(of: SignedIn.self) { group in
                for _ in 0..<10 { group.addTask { try await desk.refresh(first) } }
                return try await group.reduce(into: [SignedIn]()) { $0.append($1) }
            }
            #expect(Set(tabs.map(\.refreshToken.secret)).count == 1)
            for tab in tabs {
                _ = try await desk.account(tab)
                _ = try await desk.account(desk.refresh(tab))
            }
        }
    }

    @Test func anOlderTokenEndsTheWholeSessionAndThatStaysSo() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            let (stolen, other) = (try await desk.login("nora"), try await desk.login("nora"))
            let active = try await desk.refresh(desk.refresh(stolen))
            #expect(await problem { () throws(Problem) in try await desk.refresh(stolen) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.account(active) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.refresh(active) } == .unauthenticated)
            #expect(try await stack.texts("SELECT revoked_reason FROM sessions WHERE revoked_at IS NOT NULL") == ["refresh_token_reused"])
            #expect(
                try await stack.count("audit_log WHERE action = 'refresh_token_reused' AND severity = 'critical' AND actor_id = '\(id)'")
                    == 1)
            _ = try await desk.account(other)
        }
    }

    /// A desk at which no two who refresh with one token count as tabs that do so together.
    private static func deskWithoutGrace(_ stack: Stack) async throws -> SessionDesk {
        var lifetimes = SessionLifetimes()
        lifetimes.together = .zero
        return try await SessionDesk(stack, lifetimes: lifetimes)
    }

    @Test func whoTakesTurnsWithAStolenTokenIsFoundOut() async throws {
        try await Stack.use { stack in
            let desk = try await Self.deskWithoutGrace(stack)
            try await desk.makeAccount("nora")
            let shared = try await desk.login("nora")
            let thief = try await desk.refresh(shared)
            let holder = try await desk.refresh(shared)
            #expect(await problem { () throws(Problem) in try await desk.refresh(thief) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.refresh(holder) } == .unauthenticated)
        }
    }

    @Test func twoWhoRefreshTogetherHoldOneTokenAndAreFoundOutOnceOneGoesOn() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let shared = try await desk.login("nora")
            let (thief, holder) = (try await desk.refresh(shared), try await desk.refresh(shared))
            #expect(thief.refreshToken.secret == holder.refreshToken.secret)
            let next = try await desk.refresh(desk.refresh(holder))
            #expect(await problem { () throws(Problem) in try await desk.refresh(thief) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.refresh(next) } == .unauthenticated)
        }
    }

    @Test func whoComesBackLaterGetsATokenInThePlaceOfTheLostOne() async throws {
        try await Stack.use { stack in
            let desk = try await Self.deskWithoutGrace(stack)
            try await desk.makeAccount("nora")
            let first = try await desk.login("nora")
            let (lost, second) = (try await desk.refresh(first), try await desk.refresh(first))
            #expect(lost.refreshToken.secret != second.refreshToken.secret)
            _ = try await desk.account(desk.refresh(second))
        }
    }

    @Test func whatIsNoRefreshTokenOpensNothing() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            for text in ["", "x", String(repeating: "A", count: 43), OpaqueToken().secret] {
                let code = await problem { () throws(Problem) in try await desk.sessions.refresh(text, caller: SessionDesk.caller) }
                #expect(code == .unauthenticated)
            }
        }
    }

    @Test func aSessionEndsWhenItIsNotRefreshedAndAtItsTimeWhateverIsDone() async throws {
        try await Stack.use { stack in
            var lifetimes = SessionLifetimes()
            lifetimes.idle = .seconds(3600)
            lifetimes.absolute = .seconds(5400)
            let desk = try await SessionDesk(stack, lifetimes: lifetimes)
            try await desk.makeAccount("nora")
            let (idle, old) = (try await desk.login("nora"), try await desk.refresh(desk.login("nora")))
            #expect(
                try await stack.texts("SELECT DISTINCT extract(epoch FROM expires_at - created_at)::int::text FROM refresh_tokens")
                    == ["3600"])
            // A token never outlives its session.
            try await stack.owner.run("UPDATE sessions SET expires_at = now() + interval '10 minutes'")
            _ = try await desk.refresh(idle)
            #expect(try await stack.count("refresh_tokens WHERE expires_at < now() + interval '11 minutes'") == 1)
            try await stack.owner.run("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
            #expect(await problem { () throws(Problem) in try await desk.refresh(old) } == .unauthenticated)
            _ = try await desk.account(old)
            try await stack.owner.run("UPDATE sessions SET expires_at = now() - interval '1 second'")
            #expect(await problem { () throws(Problem) in try await desk.account(old) } == .unauthenticated)
        }
    }

    @Test func whatIsLongOverLeavesTheTables() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let old = try await desk.login("nora")
            for _ in 0..<3 { _ = try await desk.refresh(desk.login("nora")) }
            #expect(try await stack.count("refresh_tokens") == 7)
            try await stack.owner.run("UPDATE refresh_tokens SET expires_at = now() - interval '1 second' WHERE used_at IS NOT NULL")
            _ = try await desk.refresh(old)
            #expect(try await stack.count("refresh_tokens WHERE expires_at < now()") == 0)
            try await stack.owner.run("UPDATE sessions SET expires_at = now() - interval '31 days'")
            for _ in 0..<2 { _ = try await desk.login("nora") }
            #expect(try await stack.count("sessions") == 2)
            #expect(try await stack.count("refresh_tokens") == 2)
        }
    }

    @Test func aSuspendedAccountIsToldSoWhenItRefreshes() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let signedIn = try await desk.login("nora")
            try await stack.owner.run("UPDATE users SET status = 'suspended'")
            #expect(await problem { () throws(Problem) in try await desk.refresh(signedIn) } == .accountSuspended)
            #expect(await problem { () throws(Problem) in try await desk.account(signedIn) } == .accountSuspended)
            try await stack.owner.run("UPDATE users SET status = 'active'")
            #expect(await problem { () throws(Problem) in try await desk.refresh(signedIn) } == nil)
        }
    }

    // MARK: Ending

    @Test func aLogoutHoldsWithTheNextRequestOnEveryInstance() async throws {
        try await Stack.use { stack in
            let (one, other) = (try await SessionDesk(stack), try await SessionDesk(stack))
            try await one.makeAccount("nora")
            let signedIn = try await one.login("nora")
            let account = try await other.account(signedIn)
            try await one.sessions.logout(account, refreshToken: nil, caller: SessionDesk.caller)
            #expect(await problem { () throws(Problem) in try await other.account(signedIn) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await other.refresh(signedIn) } == .unauthenticated)
        }
    }

    @Test func aRefreshTokenIsEnoughToLogOut() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora")
            let signedIn = try await desk.login("nora")
            try await desk.sessions.logout(nil, refreshToken: signedIn.refreshToken.secret, caller: SessionDesk.caller)
            #expect(await problem { () throws(Problem) in try await desk.account(signedIn) } == .unauthenticated)
            // Once more is no error; with nothing in hand it is one.
            try await desk.sessions.logout(nil, refreshToken: signedIn.refreshToken.secret, caller: SessionDesk.caller)
            let code = await problem { () throws(Problem) in
                try await desk.sessions.logout(nil, refreshToken: nil, caller: SessionDesk.caller)
            }
            #expect(code == .unauthenticated)
            #expect(try await stack.count("audit_log WHERE action = 'logged_out' AND actor_id = '\(id)'") == 1)
        }
    }

    @Test func sessionsAreListedWithWhereTheyCameFromAndOneCanBeEnded() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            try await desk.makeAccount("otto")
            let (first, second, foreign) = (try await desk.login("nora"), try await desk.login("nora"), try await desk.login("otto"))
            let account = try await desk.account(second)
            let listed = try await desk.sessions.sessions(of: account)
            #expect(listed.map(\.id) == [account.sessionID, try await desk.account(first).sessionID])
            #expect(listed.allSatisfy { $0.userAgent == "tests" && $0.address == "0.0.0.0" && $0.lastUsedAt >= $0.createdAt })
            let stranger = try #require(try await desk.account(foreign).sessionID)
            let code = await problem { () throws(Problem) in
                try await desk.sessions.end(stranger, of: account, caller: SessionDesk.caller)
            }
            #expect(code == .notFound)
            try await desk.sessions.end(try #require(listed.last?.id), of: account, caller: SessionDesk.caller)
            #expect(await problem { () throws(Problem) in try await desk.account(first) } == .unauthenticated)
            #expect(try await desk.sessions.sessions(of: account).map(\.id) == [account.sessionID])
            _ = try await desk.account(foreign)
        }
    }

    @Test func allOtherSessionsOrAllCanBeEndedAtOnce() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("nora")
            let (first, second) = (try await desk.login("nora"), try await desk.login("nora"))
            let account = try await desk.account(second)
            try await desk.sessions.endAll(sparingCurrent: true, of: account, caller: SessionDesk.caller)
            #expect(await problem { () throws(Problem) in try await desk.account(first) } == .unauthenticated)
            _ = try await desk.account(second)
            try await desk.sessions.endAll(sparingCurrent: false, of: account, caller: SessionDesk.caller)
            #expect(await problem { () throws(Problem) in try await desk.account(second) } == .unauthenticated)
        }
    }

    // MARK: The account itself

    @Test func anAccountReadsItselfAndNobodyElse() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            let id = try await desk.makeAccount("nora", roles: ["user", "creator"])
            try await desk.makeAccount("otto")
            let account = try await desk.account(desk.login("nora"))
            let own = try await desk.sessions.account(of: account)
            #expect(own.id == id && own.email == "nora@example.com" && own.isEmailVerified && own.roles == [.user, .creator])
            let seen = try await stack.postgres.query(
                PostgresStatement<Int64>("SELECT count(*) FROM user_accounts") { row throws(PostgresError) in try row.int64(0) },
                settings: PostgresSettings(.account(account)), deadline: Stack.soon)
            #expect(seen == [1])
        }
    }
}
