import Contract
import Credentials
import DataPlane
import PostgresClient

/// Tokens in mails, by their digests. All as the sign-in desk.
struct EmailTokenStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    private static let issue = PostgresStatement<Void>(
        """
        WITH older AS (
            UPDATE email_tokens SET used_at = now(), password_hash = NULL
            WHERE user_id = $2 AND purpose = $3 AND used_at IS NULL AND username IS NOT DISTINCT FROM $6),
        expired AS (DELETE FROM email_tokens WHERE user_id = $2 AND expires_at < now() - interval '30 days')
        INSERT INTO email_tokens (digest, user_id, purpose, email, expires_at, username, display_name, password_hash)
        VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5), $6, $7, $8)
        """)

    /// A new token for an address of the account; those before it, for the same purpose and registration, work no more.
    static func issue(
        _ purpose: EmailToken.Purpose, for user: EntityID, email: String, registration: EmailToken.Registration? = nil,
        in transaction: PostgresTransaction
    ) async throws(PostgresError) -> OpaqueToken {
        let token = OpaqueToken()
        try await transaction.execute(
            issue,
            [
                .bytes(token.digest), .uuid(user.rawValue), .text(purpose.rawValue), .text(email), .double(purpose.validity.inSeconds),
                registration.map { .text($0.username) } ?? .null,
                registration?.displayName.map(PostgresValue.text) ?? .null, registration.map { .text($0.passwordHash) } ?? .null,
            ])
        return token
    }

    private static let registrations = PostgresStatement<EmailToken.Registration>(
        """
        SELECT DISTINCT ON (username) username, display_name, password_hash FROM email_tokens
        WHERE user_id = $1 AND password_hash IS NOT NULL AND created_at > now() - interval '7 days'
        ORDER BY username, created_at DESC
        """
    ) { row throws(PostgresError) in
        EmailToken.Registration(username: try row.text(0), displayName: try row.textOrNil(1), passwordHash: try row.text(2))
    }

    /// The registrations of the last days that wait for an account to be verified.
    static func registrations(
        of user: EntityID, in transaction: PostgresTransaction
    ) async throws(PostgresError) -> [EmailToken.Registration] {
        try await transaction.query(registrations, [.uuid(user.rawValue)])
    }

    private static let withdraw = PostgresStatement<Void>(
        """
        WITH released AS (
            DELETE FROM held_usernames WHERE username IN (
                SELECT lower(username) FROM email_tokens WHERE user_id = $1 AND username IS NOT NULL
                UNION ALL SELECT lower(username) FROM users WHERE id = $1))
        UPDATE email_tokens SET used_at = coalesce(used_at, now()), password_hash = NULL
        WHERE user_id = $1 AND (used_at IS NULL OR password_hash IS NOT NULL)
        """)

    /// Ends every token of an account, and frees the names that its registrations hold.
    static func withdraw(of user: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(withdraw, [.uuid(user.rawValue)])
    }

    private static let find = PostgresStatement<EmailToken.Proof>(
        """
        SELECT user_id, users.username, email, email_tokens.username, email_tokens.display_name, password_hash
        FROM email_tokens JOIN users ON users.id = user_id
        WHERE digest = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > now() AND users.status <> 'deleted'
        """
    ) { row throws(PostgresError) in try proof(row) }

    /// What a token proves, without using it. Throws `invalidRequest` where it is none (any more); `storeUnavailable` or `overloaded`.
    func find(_ token: OpaqueToken, _ purpose: EmailToken.Purpose) async throws(Problem) -> EmailToken.Proof {
        guard
            let proof = try await postgres.rows(
                Self.find, [.bytes(token.digest), .text(purpose.rawValue)], as: .authenticator, within: timeout
            ).first
        else { throw EmailToken.invalid }
        return proof
    }

    private static let use = PostgresStatement<EmailToken.Proof>(
        """
        WITH used AS (
            UPDATE email_tokens SET used_at = now() WHERE digest = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > now()
            RETURNING user_id, email, username AS chosen, display_name AS chosen_name, password_hash)
        SELECT user_id, username, email, chosen, chosen_name, password_hash
        FROM used JOIN users ON users.id = user_id WHERE users.status <> 'deleted'
        """
    ) { row throws(PostgresError) in try proof(row) }

    /// Uses a token up, if the transaction commits. Nil where it is none (any more).
    static func use(
        _ token: OpaqueToken, _ purpose: EmailToken.Purpose, in transaction: PostgresTransaction
    ) async throws(PostgresError) -> EmailToken.Proof? {
        try await transaction.query(use, [.bytes(token.digest), .text(purpose.rawValue)]).first
    }

    private static func proof(_ row: borrowing PostgresRow) throws(PostgresError) -> EmailToken.Proof {
        var registration: EmailToken.Registration?
        if let username = try row.textOrNil(3), let hash = try row.textOrNil(5) {
            registration = EmailToken.Registration(username: username, displayName: try row.textOrNil(4), passwordHash: hash)
        }
        return EmailToken.Proof(
            user: EntityID(rawValue: try row.uuid(0)), username: try row.text(1), email: try row.text(2), registration: registration)
    }
}
