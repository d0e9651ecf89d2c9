import Contract
import Credentials
import DataPlane
import PostgresClient

/// Tokens of issuers that are trusted by configuration.
public protocol TrustedTokens: Sendable {
    /// Who a token speaks for; nil where it is of no issuer that is trusted. Throws `unauthenticated` where it is of one and counts for
    /// nothing, `accountSuspended`, `storeUnavailable` or `overloaded`.
    func principal(forToken token: String) async throws(Problem) -> Principal?
}

/// Finds out who a request comes from: an access token of ours, a service key, or a trusted issuer's token.
///
/// Whether a session or a key still counts, and what its account may do, is looked up for every request; requests share the look-ups.
/// So a logout, a suspension, a revocation or another role takes effect with the next request, whichever instance it reaches.
public final class AccountAuthenticator: Authenticator {
    private let tokens: AccessTokens
    private let signingKeys: SigningKeyService
    private let serviceKeys: ServiceKeyService
    private let issuers: (any TrustedTokens)?
    private let adminsNeedSecondFactor: Bool
    private let standings: BatchLoader<EntityID, SessionStanding>

    /// `adminsNeedSecondFactor`: whether an admin is one only in a session that has shown a second factor.
    public init(
        postgres: PostgresAccess, tokens: AccessTokens, signingKeys: SigningKeyService, serviceKeys: ServiceKeyService,
        issuers: (any TrustedTokens)?, adminsNeedSecondFactor: Bool = false, observer: any Observer, timeout: Duration = .seconds(2)
    ) {
        self.tokens = tokens
        self.signingKeys = signingKeys
        self.serviceKeys = serviceKeys
        self.issuers = issuers
        self.adminsNeedSecondFactor = adminsNeedSecondFactor
        standings = BatchLoader(kind: "session", observer: observer) { ids throws(Problem) in
            let found = try await postgres.rows(
                SessionStanding.select, [.uuids(ids.map(\.rawValue))], as: .authenticator, within: timeout)
            return Dictionary(found.map { ($0.id, $0) }) { first, _ in first }
        }
    }

    public func principal(for credential: PresentedCredential) async throws(Problem) -> Principal {
        if credential.secret.hasPrefix(ServiceKeySecret.prefix) {
            // No browser has one in its cookies.
            guard credential.transport == .bearer else { throw .unauthenticated }
            return .service(try await serviceKeys.access(credential.secret))
        }
        if let claims = try await claims(of: credential.secret) { return .account(withholding(try await account(claims))) }
        guard let principal = try await issuers?.principal(forToken: credential.secret) else { throw .unauthenticated }
        return principal.account.map { .account(withholding($0)) } ?? principal
    }

    /// Without the role of an admin where that takes a second factor, and this sign-in has shown none.
    private func withholding(_ account: Account) -> Account {
        guard adminsNeedSecondFactor, !account.hasSecondFactor, account.roles.contains(.admin) else { return account }
        return Account(
            id: account.id, sessionID: account.sessionID, roles: account.roles.subtracting(.admin), withheld: .admin,
            isVerified: account.isVerified, hasSecondFactor: false)
    }

    /// Nil where the token is not ours. Throws `unauthenticated` where it is and counts for nothing.
    private func claims(of token: String) async throws(Problem) -> AccessClaims? {
        switch await outcome(token) {
        case .success(let claims): return claims
        case .failure(.foreign): return nil
        case .failure(.invalid), .failure(.expired): throw .unauthenticated
        case .failure(.unknownKey): break
        }
        // Another instance may have made the key a moment ago.
        try await signingKeys.learn()
        switch await outcome(token) {
        case .success(let claims): return claims
        // A trusted issuer's tokens may look like ours.
        case .failure(.foreign), .failure(.unknownKey): return nil
        case .failure(.invalid), .failure(.expired): throw .unauthenticated
        }
    }

    private func outcome(_ token: String) async -> Result<AccessClaims, AccessTokenError> {
        do throws(AccessTokenError) { return .success(try await tokens.verify(token)) } catch { return .failure(error) }
    }

    private func account(_ claims: AccessClaims) async throws(Problem) -> Account {
        guard let standing = try await standings.value(for: claims.sessionID), standing.userID == claims.userID else {
            throw .unauthenticated
        }
        if standing.isSuspended { throw .accountSuspended }
        guard standing.isLive else { throw .unauthenticated }
        return Account(
            id: standing.userID, sessionID: standing.id, roles: standing.roles, isVerified: standing.isVerified,
            hasSecondFactor: standing.hasSecondFactor)
    }
}

/// How a session and its account stand at this moment.
private struct SessionStanding: Sendable {
    let id: EntityID
    let userID: EntityID
    /// Whether the session is neither revoked nor past its time, and its account not deleted.
    let isLive: Bool
    let isSuspended: Bool
    let isVerified: Bool
    let hasSecondFactor: Bool
    let roles: Roles

    static let select = PostgresStatement<SessionStanding>(
        """
        SELECT sessions.id, sessions.user_id, revoked_at IS NULL AND expires_at > now() AND users.status <> 'deleted',
               users.status = 'suspended', user_accounts.email_verified_at IS NOT NULL, second_factor_at IS NOT NULL,
               ARRAY(SELECT role FROM user_roles WHERE user_roles.user_id = sessions.user_id)
        FROM sessions JOIN users ON users.id = sessions.user_id LEFT JOIN user_accounts ON user_accounts.user_id = sessions.user_id
        WHERE sessions.id = ANY($1)
        """
    ) { row throws(PostgresError) in
        SessionStanding(
            id: EntityID(rawValue: try row.uuid(0)), userID: EntityID(rawValue: try row.uuid(1)), isLive: try row.bool(2),
            isSuspended: try row.bool(3), isVerified: try row.bool(4), hasSecondFactor: try row.bool(5),
            roles: Roles(try row.texts(6).compactMap(Role.init(rawValue:))).union(.user))
    }
}
