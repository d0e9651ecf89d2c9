import Audit
import Contract
import Credentials
import DataPlane
import Foundation
import PostgresClient
import Synchronization
import TestSupport
import Testing

@testable import Identity

/// An issuer that is trusted, and knows one token.
private final class OneToken: TrustedTokens {
    static let token = "a.foreign.token"
    static let account = Account(id: .now, sessionID: nil, roles: .user, isVerified: true, hasSecondFactor: false)
    let asked = Mutex<[String]>([])

    func principal(forToken token: String) async throws(Problem) -> Principal? {
        asked.withLock { $0.append(token) }
        return token == Self.token ? .account(Self.account) : nil
    }
}

/// The door: who a credential makes the caller, at this very moment.
@Suite struct AuthenticatorTests {
    private struct Door: Sendable {
        let stack: Stack
        let tokens = AccessTokens(.init(issuer: "kababeat", audience: "clients"))
        let issuers = OneToken()
        let authenticator: AccountAuthenticator

        init(_ stack: Stack, postgres: PostgresClient? = nil) async throws {
            self.stack = stack
            let own = PostgresAccess(stack.postgres, observer: stack.recorder)
            let access = PostgresAccess(postgres ?? stack.postgres, observer: stack.recorder)
            let keys = SigningKeyService(postgres: own, secret: SessionDesk.secret, tokens: tokens, observer: stack.recorder)
            try await keys.reload()
            authenticator = AccountAuthenticator(
                postgres: access, tokens: tokens, signingKeys: keys,
                serviceKeys: ServiceKeyService(
                    postgres: access, observer: stack.recorder),
                issuers: issuers, observer: stack.recorder)
        }

        /// An account with a session, and the session's token.
        func makeSession(_ name: String, roles: [Role] = [.user]) async throws -> (user: EntityID, session: EntityID, token: String) {
            let (user, session) = (EntityID.now, EntityID.now)
            try await stack.owner.run(
                """
                INSERT INTO users (id, username) VALUES ('\(user)', '\(name)');
                INSERT INTO user_accounts (user_id, email) VALUES ('\(user)', '\(name)@example.com');
                INSERT INTO user_roles (user_id, role)
                    SELECT '\(user)', role FROM unnest('{\(roles.map(\.rawValue).joined(separator: ","))}'::text[]) AS role;
                INSERT INTO sessions (id, user_id, expires_at) VALUES ('\(session)', '\(user)', now() + interval '1 day')
                """)
            return (user, session, try await tokens.issue(user: user, session: session))
        }

        func principal(_ secret: String, by transport: Caller.Transport = .bearer) async throws(Problem) -> Principal {
            try await authenticator.principal(for: PresentedCredential(transport: transport, secret: secret))
        }

        func refusal(_ secret: String, by transport: Caller.Transport = .bearer) async -> Problem.Code? {
            do throws(Problem) {
                _ = try await principal(secret, by: transport)
                return nil
            } catch {
                return error.code
            }
        }
    }

    @Test func aSessionsTokenMakesTheCallerItsAccountByHeaderAndByCookie() async throws {
        try await Stack.use { stack in
            let door = try await Door(stack)
            let (user, session, token) = try await door.makeSession("nora", roles: [.user, .creator])
            let account = Account(id: user, sessionID: session, roles: [.user, .creator], isVerified: false, hasSecondFactor: false)
            #expect(try await door.principal(token) == .account(account))
            #expect(try await door.principal(token, by: .cookie) == .account(account))
        }
    }

    /// Each change in the database, and what the very next request hears.
    @Test(arguments: [
        ("UPDATE sessions SET revoked_at = now()", Problem.Code.unauthenticated),
        ("UPDATE sessions SET expires_at = now()", .unauthenticated), ("DELETE FROM sessions", .unauthenticated),
        ("UPDATE users SET status = 'suspended'", .accountSuspended),
        ("UPDATE users SET status = 'suspended'; UPDATE sessions SET revoked_at = now()", .accountSuspended),
        ("UPDATE users SET status = 'deleted', deleted_at = now()", .unauthenticated),
    ])
    func whatEndsASessionHoldsWithTheNextRequest(change: String, refusal: Problem.Code) async throws {
        try await Stack.use { stack in
            let door = try await Door(stack)
            let token = try await door.makeSession("nora").token
            #expect(await door.refusal(token) == nil)
            try await stack.owner.run(change)
            #expect(await door.refusal(token) == refusal)
        }
    }

    @Test func aRoleAVerifiedAddressAndASecondFactorCountFromTheNextRequestOn() async throws {
        try await Stack.use { stack in
            let door = try await Door(stack)
            let (user, _, token) = try await door.makeSession("nora")
            #expect(try await door.principal(token).account?.roles == .user)
            try await stack.owner.run(
                """
                INSERT INTO user_roles (user_id, role) VALUES ('\(user)', 'admin');
                UPDATE user_accounts SET email_verified_at = now(); UPDATE sessions SET second_factor_at = now()
                """)
            let account = try #require(try await door.principal(token).account)
            #expect(account.roles == [.user, .admin] && account.isVerified && account.hasSecondFactor)
            try await stack.owner.run("DELETE FROM user_roles WHERE role = 'admin'")
            #expect(try await door.principal(token).account?.roles == .user)
        }
    }

    @Test func aTokenOfAnotherAccountsSessionCountsForNothing() async throws {
        try await Stack.use { stack in
            let door = try await Door(stack)
            let (user, _, _) = try await door.makeSession("nora")
            let (_, session, _) = try await door.makeSession("otto")
            #expect(await door.refusal(try await door.tokens.issue(user: user, session: session)) == .unauthenticated)
        }
    }

    @Test func manyRequestsShareFewLookUpsAndEachGetsItsOwnAccount() async throws {
        try await Stack.use { stack in
            let door = try await Door(stack)
            var sessions: [(user: EntityID, session: EntityID, token: String)] = []
            for number in 0..<20 { sessions.append(try await door.makeSession("user-\(number)")) }
            let all = sessions
            try await withThrowingTaskGroup { group in
                for number in 0..<400 {
                    group.addTask { try await door.principal(all[number % 20].token).account?.id == all[number % 20].user }
                }
                for try await isRight in group { #expect(isRight) }
            }
            let batches = stack.recorder.count { if case .batch("session", _, _) = $0 { true } else { false } }
            #expect(batches < 200, "\(batches)")
        }
    }

    @Test func nobodyIsTakenForAnonymousBecauseADatabaseIsAway() async throws {
        try await Stack.use { stack in
            var server = stack.server
            server.port = try closedPort()
            let absent = PostgresClient(server, reactor: Stack.reactor)
            let door = try await Door(stack, postgres: absent)
            let token = try await door.makeSession("nora").token
            #expect(await door.refusal(token) == .storeUnavailable)
            #expect(await door.refusal(ServiceKeySecret().text) == .storeUnavailable)
            await absent.shutdown()
        }
    }

    @Test(arguments: ["", "x", "kbk_", "kbk_short", "a.b.c", "Bearer", "💥", String(repeating: "x", count: 100_000)])
    func whatIsNoCredentialIsRefused(secret: String) async throws {
        try await Stack.use { stack in
            let door = try await Door(stack)
            for transport in [Caller.Transport.bearer, .cookie] { #expect(await door.refusal(secret, by: transport) == .unauthenticated) }
        }
    }

    @Test func onlyWhatIsNotOursIsShownToTrustedIssuers() async throws {
        try await Stack.use { stack in
            let door = try await Door(stack)
            let token = try await door.makeSession("nora").token
            #expect(try await door.principal(OneToken.token) == .account(OneToken.account))
            _ = try await door.principal(token)
            try await stack.owner.run("UPDATE sessions SET revoked_at = now()")
            #expect(await door.refusal(token) == .unauthenticated)
            #expect(await door.refusal(token.dropLast(2) + "AA") == .unauthenticated)
            #expect(await door.refusal(ServiceKeySecret().text) == .unauthenticated)
            #expect(door.issuers.asked.withLock { $0 } == [OneToken.token])
        }
    }
}
