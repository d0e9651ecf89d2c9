import Contract
import Credentials
import DataPlane
import PostgresClient

/// Second factors and recovery codes. Accounts have no policy for them, so all of it is the sign-in desk's work.
struct SecondFactorStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    /// How an account proves itself.
    struct Standing: Sendable {
        let email: String?
        /// Nil where the account signs in with another provider alone.
        let passwordHash: String?
        /// What its authenticator app knows, sealed; nil where it has none.
        let sealedSecret: [UInt8]?
        /// Whether a first code has shown that the app knows it. Before that, signing in does not ask for one.
        let isConfirmed: Bool
        let recoveryCodesLeft: Int
    }

    private static let standing = PostgresStatement<Standing>(
        """
        SELECT email, password_hash, sealed, confirmed_at IS NOT NULL,
               (SELECT count(*) FROM recovery_codes WHERE recovery_codes.user_id = user_accounts.user_id AND used_at IS NULL)
        FROM user_accounts LEFT JOIN user_credentials USING (user_id) LEFT JOIN one_time_secrets USING (user_id)
        WHERE user_accounts.user_id = $1
        """
    ) { row throws(PostgresError) in
        Standing(
            email: try row.textOrNil(0), passwordHash: try row.textOrNil(1), sealedSecret: try row.bytesOrNil(2),
            isConfirmed: try row.bool(3), recoveryCodesLeft: Int(try row.int64(4)))
    }

    func standing(of user: EntityID) async throws(Problem) -> Standing {
        guard let standing = try await postgres.rows(Self.standing, [.uuid(user.rawValue)], as: .authenticator, within: timeout).first
        else {
            throw .notFound("user")
        }
        return standing
    }

    private static let isRecent = PostgresStatement<Bool>(
        "SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND user_id = $2 AND created_at > now() - make_interval(secs => $3))"
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Whether the account signed in to this session no longer ago than `limit`. Refreshing it does not make it younger.
    func isSession(_ session: EntityID, of user: EntityID, openedWithin limit: Duration) async throws(Problem) -> Bool {
        try await postgres.rows(
            Self.isRecent, [.uuid(session.rawValue), .uuid(user.rawValue), .double(limit.inSeconds)], as: .authenticator, within: timeout
        ).first ?? false
    }

    private static let enrol = PostgresStatement<Bool>(
        """
        INSERT INTO one_time_secrets (user_id, sealed) VALUES ($1, $2)
        ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, last_step = 0, created_at = now()
            WHERE one_time_secrets.confirmed_at IS NULL
        RETURNING true
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Keeps a secret that is yet to be confirmed, in the place of one that never was. False where one is confirmed.
    func enrol(_ user: EntityID, sealedSecret: [UInt8]) async throws(Problem) -> Bool {
        try await !postgres.rows(Self.enrol, [.uuid(user.rawValue), .bytes(sealedSecret)], as: .authenticator, within: timeout).isEmpty
    }

    // A sign-in that is under way without a code locks the secret too: what it opens is either there to be ended when the statement after
    // this one looks, or not opened any more (`SessionStore.open`).
    private static let lock = PostgresStatement<Void>("SELECT FROM one_time_secrets WHERE user_id = $1 FOR UPDATE")
    private static let confirm = PostgresStatement<Bool>(
        """
        WITH confirmed AS (
            UPDATE one_time_secrets SET confirmed_at = now(), last_step = $3
            WHERE user_id = $1 AND sealed = $2 AND confirmed_at IS NULL RETURNING user_id
        ), older AS (
            DELETE FROM recovery_codes WHERE user_id IN (SELECT user_id FROM confirmed)
        ), proven AS (
            UPDATE sessions SET second_factor_at = now() WHERE id = $5 AND user_id IN (SELECT user_id FROM confirmed)
        ), ended AS (
            UPDATE sessions SET revoked_at = now(), revoked_reason = $6
            WHERE user_id IN (SELECT user_id FROM confirmed) AND id IS DISTINCT FROM $5::uuid AND revoked_at IS NULL
                AND second_factor_at IS NULL
        ), codes AS (
            INSERT INTO recovery_codes (user_id, digest) SELECT user_id, digest FROM confirmed, unnest($4) AS digest
        )
        SELECT true FROM confirmed
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Confirms the secret by the step of its first code, keeps the recovery codes, notes the factor for `session`, ends every other
    /// session that has shown none, and files `event`. False where another secret has taken its place or it is confirmed already.
    func confirm(
        _ user: EntityID, sealedSecret: [UInt8], step: Int64, codes: [RecoveryCode], session: EntityID?, filing event: AuditEvent
    ) async throws(Problem) -> Bool {
        let key: [PostgresValue] = [.uuid(user.rawValue)]
        let proof: [PostgresValue] = [
            .uuid(user.rawValue), .bytes(sealedSecret), .int64(step), .byteStrings(codes.map(\.digest)),
            session.map { .uuid($0.rawValue) } ?? .null, .text(RevocationReason.secondFactor.rawValue),
        ]
        return try await postgres.transaction(as: .authenticator, within: timeout) { transaction in
            try await transaction.execute(Self.lock, key)
            guard try await transaction.query(Self.confirm, proof).first == true else { return false }
            try await transaction.file(event)
            return true
        }
    }

    private static let useStep = PostgresStatement<Bool>(
        """
        UPDATE one_time_secrets SET last_step = $2 WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2 RETURNING true
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Spends a time step. False where that step or a later one has been spent: a code counts once (RFC 6238 §5.2).
    func use(step: Int64, of user: EntityID) async throws(Problem) -> Bool {
        try await !postgres.rows(Self.useStep, [.uuid(user.rawValue), .int64(step)], as: .authenticator, within: timeout).isEmpty
    }

    private static let useCode = PostgresStatement<Bool>(
        "UPDATE recovery_codes SET used_at = now() WHERE user_id = $1 AND digest = $2 AND used_at IS NULL RETURNING true"
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Spends a recovery code, and files `event`. False where the account has no such code left.
    func use(_ code: RecoveryCode, of user: EntityID, filing event: AuditEvent) async throws(Problem) -> Bool {
        try await !postgres.rows(
            Self.useCode, [.uuid(user.rawValue), .bytes(code.digest)], as: .authenticator, within: timeout,
            filing: { $0.map { _ in event } }
        ).isEmpty
    }

    private static let remove = PostgresStatement<Bool>(
        """
        WITH codes AS (
            DELETE FROM recovery_codes WHERE user_id = $1
        ), proven AS (
            UPDATE sessions SET second_factor_at = NULL WHERE user_id = $1 AND second_factor_at IS NOT NULL
        )
        DELETE FROM one_time_secrets WHERE user_id = $1 RETURNING true
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Forgets the secret and its recovery codes, and that any session has shown them, and files `event`.
    func remove(_ user: EntityID, filing event: AuditEvent) async throws(Problem) {
        _ = try await postgres.rows(
            Self.remove, [.uuid(user.rawValue)], as: .authenticator, within: timeout, filing: { $0.map { _ in event } })
    }
}
