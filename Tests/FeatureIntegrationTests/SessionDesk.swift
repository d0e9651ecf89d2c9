import Audit
import Contract
import Credentials
import DataPlane
import Foundation
import PostgresClient
import RateLimits
import Synchronization
import TestSupport
import Testing

@testable import Identity

/// All that signs accounts in, over the databases of a test, as one instance of the gateway has it.
struct SessionDesk: Sendable {
    /// Cheap; the rules are the same at any cost.
    static let cost = 4
    static let password = "violet harbour 27"
    static let secret = IdentitySecret.development

    let stack: Stack
    let hasher: PasswordHasher
    let sessions: SessionService
    let secondFactor: SecondFactorService
    let signIn: PasswordSignIn
    let authenticator: AccountAuthenticator

    /// `cost` is that of new hashes; without a `limiter` tries are not counted.
    init(
        _ stack: Stack, cost: Int = cost, limiter: RequestLimiter? = nil, admitsUnverified: Bool = true,
        lifetimes: SessionLifetimes = SessionLifetimes(), adminsNeedSecondFactor: Bool = false
    ) async throws {
        self.stack = stack
        let postgres = PostgresAccess(stack.postgres, observer: stack.recorder)
        let audit = AuditStore(postgres: postgres, observer: stack.recorder)
        var unlimited = LimitRules()
        unlimited.isEnabled = false
        let limiter = limiter ?? RequestLimiter(rules: unlimited, redis: nil, observer: stack.recorder)
        hasher = try PasswordHasher(cost: cost)
        let tokens = AccessTokens(AccessTokens.Configuration(issuer: "https://kababeat.test", audience: "kababeat"))
        let keys = SigningKeyService(postgres: postgres, secret: Self.secret, tokens: tokens, observer: stack.recorder)
        try await keys.reload()
        sessions = SessionService(postgres: postgres, tokens: tokens, secret: Self.secret, lifetimes: lifetimes)
        secondFactor = SecondFactorService(
            postgres: postgres, hasher: hasher, secret: Self.secret, limiter: limiter, audit: audit, observer: stack.recorder)
        signIn = PasswordSignIn(
            postgres: postgres, hasher: hasher, sessions: sessions, secondFactor: secondFactor, limiter: limiter, audit: audit,
            admitsUnverified: admitsUnverified)
        authenticator = AccountAuthenticator(
            postgres: postgres, tokens: tokens, signingKeys: keys,
            serviceKeys: ServiceKeyService(postgres: postgres, observer: stack.recorder), issuers: nil,
            adminsNeedSecondFactor: adminsNeedSecondFactor, observer: stack.recorder)
    }

    /// An account with a password, made past the gateway.
    @discardableResult
    func makeAccount(
        _ name: String, password: String = password, status: String = "active", isVerified: Bool = true, roles: [String] = ["user"]
    ) async throws -> EntityID {
        let id = EntityID.now
        let hash = try await hasher.hash(password)
        try await stack.owner.run(
            """
            INSERT INTO users (id, username, status, deleted_at)
                VALUES ('\(id)', '\(name)', '\(status)', CASE WHEN '\(status)' = 'deleted' THEN now() END);
            INSERT INTO user_accounts (user_id, email, email_verified_at)
                VALUES ('\(id)', '\(Self.email(name))', CASE WHEN \(isVerified) THEN now() END);
            INSERT INTO user_credentials (user_id, password_hash) VALUES ('\(id)', '\(hash)');
            INSERT INTO user_roles (user_id, role) SELECT '\(id)', unnest(ARRAY[\(roles.map { "'\($0)'" }.joined(separator: ","))]);
            """)
        return id
    }

    static func email(_ name: String) -> String { "\(name)@example.com" }

    static let caller = Caller(address: .unknown, userAgent: "tests", transport: nil)

    func login(_ name: String, password: String = password, code: String? = nil) async throws(Problem) -> SignedIn {
        try await signIn.signIn(.init(email: Self.email(name), password: password, code: code), caller: Self.caller)
    }

    /// Who a sign-in's access token makes the caller, as the edge finds out for each request.
    func account(_ signedIn: SignedIn) async throws(Problem) -> Account {
        let credential = PresentedCredential(transport: .bearer, secret: signedIn.accessToken)
        guard let account = try await authenticator.principal(for: credential).account else { throw .unauthenticated }
        return account
    }

    func refresh(_ signedIn: SignedIn) async throws(Problem) -> SignedIn {
        try await sessions.refresh(signedIn.refreshToken.secret, caller: Self.caller)
    }
}

/// The code of the problem that `body` throws; nil where it throws none.
func problem<T>(of body: () async throws(Problem) -> T) async -> Problem.Code? {
    do throws(Problem) {
        _ = try await body()
        return nil
    } catch {
        return error.code
    }
}
