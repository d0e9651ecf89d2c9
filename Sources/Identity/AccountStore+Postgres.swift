import Contract
import DataPlane
import PostgresClient

/// Reads accounts as their holders see them, and holds the statements that change them; what belongs together is one transaction of
/// `AccountService`.
struct AccountStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // MARK: Reading

    private static let select = select(roles: "ARRAY(SELECT role FROM user_roles WHERE user_roles.user_id = users.id)")
    private static let selectItself = select(roles: "$2::text[]")

    private static func select(roles: String) -> PostgresStatement<OwnAccount> {
        PostgresStatement(
            """
            SELECT users.id, users.version, users.username, users.display_name, account.email, account.email_verified_at IS NOT NULL,
                   users.avatar_url, users.bio, users.is_verified, users.is_creator, users.status,
                   \(roles), coalesce(profile.social_links, '{}'), coalesce(account.preferences, '{}'), users.created_at
            FROM users LEFT JOIN user_accounts AS account ON account.user_id = users.id
                 LEFT JOIN user_profiles AS profile ON profile.user_id = users.id
            WHERE users.id = $1
            """
        ) { row throws(PostgresError) in
            OwnAccount(
                id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), username: try row.text(2),
                displayName: try row.textOrNil(3), email: try row.textOrNil(4), isEmailVerified: try row.boolOrNil(5) ?? false,
                avatarURL: try row.textOrNil(6), bio: try row.textOrNil(7), isVerified: try row.bool(8), isCreator: try row.bool(9),
                status: AccountStatus(rawValue: try row.text(10)) ?? .suspended,
                roles: Roles(try row.texts(11).compactMap { Role(rawValue: $0) }), socialLinks: try row.json(12),
                preferences: try row.json(13), createdAt: Timestamp(microseconds: try row.timestampMicroseconds(14)))
        }
    }

    /// The account that asks, read as itself. Its roles are those that it was let in with a moment ago: asking for them again would be
    /// a quarter of the work that this gives Postgres. Throws what the other `own` does.
    func own(_ account: Account) async throws(Problem) -> OwnAccount {
        let roles = account.roles.union(account.withheld).all.map(\.rawValue)
        let found = try await postgres.rows(
            Self.selectItself, [.uuid(account.id.rawValue), .texts(roles)], as: PostgresSettings(.account(account)), within: timeout)
        guard let own = found.first else { throw .unauthenticated }
        return own
    }

    /// The account as its holder sees it, read as the sign-in desk or as that account. Throws `unauthenticated` where there is none;
    /// `storeUnavailable` or `overloaded`.
    func own(_ id: EntityID, as principal: PostgresSettings) async throws(Problem) -> OwnAccount {
        guard let account = try await postgres.rows(Self.select, [.uuid(id.rawValue)], as: principal, within: timeout).first else {
            throw .unauthenticated
        }
        return account
    }

    /// As `own`, within a transaction that has changed it.
    static func own(_ id: EntityID, in transaction: PostgresTransaction) async throws -> OwnAccount {
        guard let account = try await transaction.query(select, [.uuid(id.rawValue)]).first else { throw Problem.unauthenticated }
        return account
    }

    /// An account by its address, as the sign-in desk sees it.
    struct Known: Sendable {
        let id: EntityID
        let username: String
        let email: String
        let isEmailVerified: Bool
        let status: AccountStatus
    }

    private static func known(_ row: borrowing PostgresRow) throws(PostgresError) -> Known {
        Known(
            id: EntityID(rawValue: try row.uuid(0)), username: try row.text(1), email: try row.text(2),
            isEmailVerified: try row.bool(3), status: AccountStatus(rawValue: try row.text(4)) ?? .suspended)
    }

    /// By address, in any case.
    static let byEmail = PostgresStatement<Known>(
        """
        SELECT users.id, users.username, email, email_verified_at IS NOT NULL, users.status
        FROM user_accounts JOIN users ON users.id = user_id WHERE email_key = lower($1)
        """
    ) { row throws(PostgresError) in try known(row) }

    /// By id, where it has an address; locks it until the transaction ends.
    static let byIDLocked = PostgresStatement<Known>(
        """
        SELECT users.id, users.username, email, email_verified_at IS NOT NULL, users.status
        FROM user_accounts JOIN users ON users.id = user_id WHERE users.id = $1 AND email IS NOT NULL FOR UPDATE OF users
        """
    ) { row throws(PostgresError) in try known(row) }

    private static let selectHash = PostgresStatement<String>("SELECT password_hash FROM user_credentials WHERE user_id = $1") {
        row throws(PostgresError) in try row.text(0)
    }

    /// The hash of the account's password; nil where it has none.
    func passwordHash(of id: EntityID) async throws(Problem) -> String? {
        try await postgres.rows(Self.selectHash, [.uuid(id.rawValue)], as: .authenticator, within: timeout).first
    }

    // MARK: Registering

    /// One registration of an address after the other, until the transaction ends: whoever comes second sees the first.
    static let lockAddress = PostgresStatement<Void>(
        "SELECT pg_advisory_xact_lock(hashtextextended('kababeat address ' || lower($1), 0))")

    /// A new account, however its holder has proven who they are.
    struct NewAccount: Sendable {
        let id: EntityID
        let username: String
        let displayName: String?
        /// Nil for an account that signs in elsewhere and has no address of its own.
        let email: String?
        let isEmailVerified: Bool
        /// Nil for an account that signs in elsewhere.
        let passwordHash: String?
        let status: AccountStatus
    }

    private static let insert = PostgresStatement<Void>(
        """
        WITH account AS (INSERT INTO users (id, username, display_name, status) VALUES ($1, $2, $3, $4)),
             private AS (
                 INSERT INTO user_accounts (user_id, email, email_verified_at) VALUES ($1, $5, CASE WHEN $6 THEN now() END)),
             credentials AS (
                 INSERT INTO user_credentials (user_id, password_hash) SELECT $1, $7::text WHERE $7::text IS NOT NULL),
             role AS (INSERT INTO user_roles (user_id, role) VALUES ($1, 'user'))
        INSERT INTO user_profiles (user_id) VALUES ($1)
        """)

    /// Makes a whole account, in every table that has a part of one.
    static func register(_ account: NewAccount, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(
            insert,
            [
                .uuid(account.id.rawValue), .text(account.username), account.displayName.map(PostgresValue.text) ?? .null,
                .text(account.status.rawValue), account.email.map(PostgresValue.text) ?? .null, .bool(account.isEmailVerified),
                account.passwordHash.map(PostgresValue.text) ?? .null,
            ])
    }

    // MARK: Names

    private static let hold = PostgresStatement<Bool>(
        """
        WITH swept AS (
            DELETE FROM held_usernames WHERE username IN (
                SELECT username FROM held_usernames WHERE held_until <= now() AND username <> lower($1) LIMIT 10 FOR UPDATE SKIP LOCKED))
        INSERT INTO held_usernames AS held (username, held_until) VALUES (lower($1), now() + make_interval(secs => $2))
        ON CONFLICT (username) DO UPDATE SET held_until = excluded.held_until WHERE held.held_until <= now()
        RETURNING true
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Holds a name for whoever registers with it. False where another registration holds it.
    static func hold(_ username: String, for duration: Duration, in transaction: PostgresTransaction) async throws(PostgresError) -> Bool {
        try await !transaction.query(hold, [.text(username), .double(duration.inSeconds)]).isEmpty
    }

    private static let isHeld = PostgresStatement<Bool>(
        "SELECT EXISTS (SELECT FROM held_usernames WHERE username = lower($1) AND held_until > now())"
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Whether a registration holds the name.
    static func isHeld(_ username: String, in transaction: PostgresTransaction) async throws(PostgresError) -> Bool {
        try await transaction.query(isHeld, [.text(username)]).first ?? false
    }

    // The end of a version 7 id is random.
    private static let free = PostgresStatement<Void>(
        """
        UPDATE users SET username = 'user-' || right(id::text, 12), version = version + 1, updated_at = now()
        WHERE username_key = lower($1) AND status = 'pending'
        """)

    /// Takes a name that nothing holds any more from an account that never became more than pending.
    static func free(_ username: String, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(free, [.text(username)])
    }

    private static let isTaken = PostgresStatement<Bool>("SELECT EXISTS (SELECT FROM users WHERE username_key = lower($1))") {
        row throws(PostgresError) in try row.bool(0)
    }

    static func isTaken(_ username: String, in transaction: PostgresTransaction) async throws(PostgresError) -> Bool {
        try await transaction.query(isTaken, [.text(username)]).first ?? false
    }

    private static let adopt = PostgresStatement<Void>(
        """
        UPDATE users SET display_name = $3, username = CASE
            WHEN EXISTS (SELECT FROM users AS other WHERE lower(other.username) = lower($2) AND other.id <> $1) THEN username ELSE $2 END
        WHERE id = $1
        """)

    /// Makes a pending account the one that was registered: its password and names. A name that has become another's meanwhile is not
    /// taken back.
    static func adopt(
        _ registration: EmailToken.Registration, as id: EntityID, in transaction: PostgresTransaction
    ) async throws(PostgresError) {
        try await transaction.execute(
            adopt,
            [
                .uuid(id.rawValue), .text(registration.username), registration.displayName.map(PostgresValue.text) ?? .null,
            ])
        try await setPassword(registration.passwordHash, of: id, in: transaction)
    }

    // MARK: Address and password

    private static let confirm = PostgresStatement<Void>(
        """
        WITH account AS (
            UPDATE user_accounts SET email = $2, email_verified_at = now(), version = version + 1, updated_at = now() WHERE user_id = $1)
        UPDATE users SET status = CASE status WHEN 'pending' THEN 'active' ELSE status END, version = version + 1, updated_at = now()
        WHERE id = $1
        """)

    /// Makes an address the account's, verified; a pending account is active from now on.
    static func confirm(_ email: String, of id: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(confirm, [.uuid(id.rawValue), .text(email)])
    }

    private static let setPassword = PostgresStatement<Void>(
        """
        INSERT INTO user_credentials (user_id, password_hash) VALUES ($1, $2)
        ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, changed_at = now()
        """)
    private static let replacePassword = PostgresStatement<Void>(
        "UPDATE user_credentials SET password_hash = $2, changed_at = now() WHERE user_id = $1 AND password_hash = $3")

    static func setPassword(_ hash: String, of id: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(setPassword, [.uuid(id.rawValue), .text(hash)])
    }

    /// False where the password is no longer the one with the hash `old`.
    static func replacePassword(
        _ old: String, with hash: String, of id: EntityID, in transaction: PostgresTransaction
    ) async throws(PostgresError) -> Bool {
        try await transaction.execute(replacePassword, [.uuid(id.rawValue), .text(hash), .text(old)]) > 0
    }

    private static let endSessions = PostgresStatement<Void>(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = $2
        WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $3::uuid
        """)

    /// Ends every session of an account but `spared`. After the password has been set: a sign-in with the old one that is under way then
    /// opens no session, or one that this ends.
    static func endSessions(
        of id: EntityID, sparing spared: EntityID? = nil, because reason: RevocationReason, in transaction: PostgresTransaction
    ) async throws(PostgresError) {
        try await transaction.execute(
            endSessions, [.uuid(id.rawValue), .text(reason.rawValue), spared.map { .uuid($0.rawValue) } ?? .null])
    }

    // MARK: Announcing

    // Beats of one whom nobody may see any more are hidden all together first; that each follows by itself must not slow that down.
    private static let announce = PostgresStatement<Int64>(
        """
        WITH account AS (SELECT id, version, status FROM users WHERE id = $1),
             announced AS (
                 INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, next_at)
                 SELECT kind, id, version, 'upsert',
                        now() + CASE WHEN kind = 'creator' AND status <> 'active' THEN interval '1 second' ELSE interval '0' END
                 FROM account, unnest($2::text[]) AS kind)
        SELECT version FROM account
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    /// What caches are to forget of an account that has changed.
    static func announcements(of id: EntityID, version: Int64, inBeats: Bool) -> [Announcement] {
        let kinds: [Announcement.Kind] = inBeats ? [.user, .standing] : [.user]
        return kinds.map { Announcement(kind: $0, id: id, version: version) }
    }

    /// Says with the transaction that the account changed; `inBeats` where beats show what changed. Answers what caches are to forget
    /// once it has committed.
    static func announce(
        _ id: EntityID, inBeats: Bool = false, in transaction: PostgresTransaction
    ) async throws(PostgresError) -> [Announcement] {
        let kinds: [Announcement.Kind] = inBeats ? [.user, .creator, .standing] : [.user]
        return try await transaction.query(announce, [.uuid(id.rawValue), .texts(kinds.map(\.rawValue))])
            .flatMap { Self.announcements(of: id, version: $0, inBeats: inBeats) }
    }
}
