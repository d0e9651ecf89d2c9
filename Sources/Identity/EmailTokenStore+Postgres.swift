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
        WITH older AS (UPDATE email_tokens SET used_at = now() WHERE user_id = $2 AND purpose = $3 AND used_at IS NULL),
             expired AS (DELETE FROM email_tokens WHERE user_id = $2 AND expires_at < now() - interval '30 days')
        INSERT INTO email_tokens (digest, user_id, purpose, email, expires_at)
        VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
        """)

    /// A new token for an address of the account; those before it, for the same purpose, work no more.
    static func issue(
        _ purpose: EmailToken.Purpose, for user: EntityID, email: String, in transaction: PostgresTransaction
    ) async throws(PostgresError) -> OpaqueToken {
        let token = OpaqueToken()
        try await transaction.execute(
            issue,
            [
                .bytes(token.digest), .uuid(user.rawValue), .text(purpose.rawValue), .text(email), .double(purpose.validity.inSeconds),
            ])
        return token
    }

    private static let find = PostgresStatement<EmailToken.Proof>(
        """
        SELECT user_id, username, email FROM email_tokens JOIN users ON users.id = user_id
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
            RETURNING user_id, email)
        SELECT user_id, username, email FROM used JOIN users ON users.id = user_id WHERE users.status <> 'deleted'
        """
    ) { row throws(PostgresError) in try proof(row) }

    /// Uses a token up, if the transaction commits. Nil where it is none (any more).
    static func use(
        _ token: OpaqueToken, _ purpose: EmailToken.Purpose, in transaction: PostgresTransaction
    ) async throws(PostgresError) -> EmailToken.Proof? {
        try await transaction.query(use, [.bytes(token.digest), .text(purpose.rawValue)]).first
    }

    private static func proof(_ row: borrowing PostgresRow) throws(PostgresError) -> EmailToken.Proof {
        EmailToken.Proof(user: EntityID(rawValue: try row.uuid(0)), username: try row.text(1), email: try row.text(2))
    }
}
