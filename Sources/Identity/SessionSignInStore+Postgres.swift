import Contract
import DataPlane
import PostgresClient

/// What signing in with a password needs to know of an account. All as the sign-in desk.
struct SignInStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    struct Known: Sendable {
        let id: EntityID
        let status: AccountStatus
        let isVerified: Bool
        /// Nil where the account signs in with another provider alone.
        let passwordHash: String?
        /// When this password was chosen; a new hash of the same one leaves it.
        let passwordSince: Timestamp
        let hasSecondFactor: Bool
    }

    private static let find = PostgresStatement<Known>(
        """
        SELECT users.id, users.status, email_verified_at IS NOT NULL, password_hash, coalesce(changed_at, users.created_at),
               EXISTS (SELECT FROM one_time_secrets WHERE one_time_secrets.user_id = users.id AND confirmed_at IS NOT NULL)
        FROM user_accounts JOIN users ON users.id = user_accounts.user_id LEFT JOIN user_credentials ON user_credentials.user_id = users.id
        WHERE email_key = lower($1)
        """
    ) { row throws(PostgresError) in
        Known(
            id: EntityID(rawValue: try row.uuid(0)), status: AccountStatus(rawValue: try row.text(1)) ?? .suspended,
            isVerified: try row.bool(2), passwordHash: try row.textOrNil(3),
            passwordSince: Timestamp(microseconds: try row.timestampMicroseconds(4)), hasSecondFactor: try row.bool(5))
    }

    /// The account with this address, in any case.
    func find(email: String) async throws(Problem) -> Known? {
        try await postgres.rows(Self.find, [.text(email)], as: .authenticator, within: timeout).first
    }

    private static let renew = PostgresStatement<Void>(
        "UPDATE user_credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2")

    /// Puts another hash of the same password in the place of the one that was read, if it is still there.
    func renew(_ known: Known, hash: String) async throws(Problem) {
        guard let old = known.passwordHash else { return }
        _ = try await postgres.rows(
            Self.renew, [.uuid(known.id.rawValue), .text(old), .text(hash)], as: .authenticator, within: timeout)
    }
}
