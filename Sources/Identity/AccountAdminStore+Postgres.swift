import Contract
import DataPlane
import PostgresClient

/// Accounts as admins find and change them; all as the admin who asks, but for the first one's role. What belongs together is one
/// transaction of `AccountAdminService`.
struct AccountAdminStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // MARK: Reading

    private static let columns = """
        users.id, users.version, users.username, users.display_name, account.email, account.email_verified_at IS NOT NULL, users.status,
        ARRAY(SELECT role FROM user_roles WHERE user_roles.user_id = users.id), users.is_verified, users.is_creator,
        CASE WHEN users.status = 'suspended' THEN account.suspended_at END,
        CASE WHEN users.status = 'suspended' THEN account.suspended_reason END, users.created_at
        """

    private static func entry(_ row: borrowing PostgresRow) throws(PostgresError) -> AccountEntry {
        AccountEntry(
            id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), username: try row.text(2),
            displayName: try row.textOrNil(3), email: try row.textOrNil(4), isEmailVerified: try row.bool(5),
            status: AccountStatus(rawValue: try row.text(6)) ?? .suspended,
            roles: Roles(try row.texts(7).compactMap { Role(rawValue: $0) }), isVerified: try row.bool(8), isCreator: try row.bool(9),
            suspendedAt: try row.timestampMicrosecondsOrNil(10).map { Timestamp(microseconds: $0) },
            suspendedReason: try row.textOrNil(11), createdAt: Timestamp(microseconds: try row.timestampMicroseconds(12)))
    }

    private static let conditions = """
        ($1::text IS NULL OR users.status = $1)
        AND ($2::text IS NULL OR EXISTS (SELECT FROM user_roles WHERE user_roles.user_id = users.id AND role = $2))
        AND ($3::text IS NULL OR position(lower($3) IN lower(users.username)) > 0
             OR position(lower($3) IN lower(users.display_name)) > 0 OR position(lower($3) IN lower(account.email)) > 0)
        """

    private static let select = PostgresStatement<AccountEntry>(
        """
        SELECT \(columns) FROM users LEFT JOIN user_accounts AS account ON account.user_id = users.id
        WHERE \(conditions) AND ($4::timestamptz IS NULL OR (users.created_at, users.id) < ($4, $5))
        ORDER BY users.created_at DESC, users.id DESC LIMIT $6 OFFSET $7
        """
    ) { row throws(PostgresError) in try entry(row) }

    private static let count = PostgresStatement<Int64>(
        """
        SELECT count(*) FROM (
            SELECT FROM users LEFT JOIN user_accounts AS account ON account.user_id = users.id WHERE \(conditions) LIMIT $4) AS counted
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    /// Throws `invalidCursor` for a cursor of another list; `storeUnavailable` or `overloaded`.
    func list(
        _ filter: AccountFilter, _ page: PageRequest, as principal: PostgresSettings
    ) async throws(Problem) -> ListPage<AccountEntry> {
        let last = try page.moment(of: filter.order)
        let conditions: [PostgresValue] = [
            filter.status.map { .text($0.rawValue) } ?? .null, filter.role.map { .text($0.rawValue) } ?? .null,
            filter.search.map { .text($0) } ?? .null,
        ]
        let place: [PostgresValue] = [
            last.map { .timestamp($0.time.microseconds) } ?? .null, last.map { .uuid($0.id.rawValue) } ?? .null,
            .int64(Int64(page.limit) + 1), .int64(Int64(page.offset)),
        ]
        async let counted = postgres.rows(Self.count, conditions + [.int64(ListTotal.mostCounted + 1)], as: principal, within: timeout)
        let entries = try await postgres.rows(Self.select, conditions + place, as: principal, within: timeout)
        let total: Int64
        do { total = try await counted.first ?? 0 } catch { throw error as? Problem ?? .unexpected }
        return ListPage(cutting: entries, of: page, total: ListTotal(counted: total)) { entry in
            Cursor(order: filter.order, value: .integer(entry.createdAt.microseconds), id: entry.id)
        }
    }

    private static let selectOne = PostgresStatement<AccountEntry>(
        """
        SELECT \(columns) FROM users LEFT JOIN user_accounts AS account ON account.user_id = users.id
        WHERE users.id = $1 FOR UPDATE OF users
        """
    ) { row throws(PostgresError) in try entry(row) }

    /// The account, locked until the transaction ends. Throws `notFound`.
    static func lock(_ id: EntityID, in transaction: PostgresTransaction) async throws -> AccountEntry {
        guard let entry = try await transaction.query(selectOne, [.uuid(id.rawValue)]).first else { throw Problem.notFound("user") }
        return entry
    }

    // MARK: Standing

    private static let suspend = PostgresStatement<Void>(
        """
        WITH account AS (
            UPDATE user_accounts SET suspended_at = now(), suspended_reason = $2,
                   suspended_from = (SELECT status FROM users WHERE users.id = $1), version = version + 1, updated_at = now()
            WHERE user_id = $1)
        UPDATE users SET status = 'suspended', version = version + 1, updated_at = now() WHERE id = $1
        """)

    static func suspend(_ id: EntityID, reason: String, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(suspend, [.uuid(id.rawValue), .text(reason)])
    }

    // Whoever had not verified an address has not done so by having been suspended; whoever did so meanwhile has. Where nobody wrote down
    // how the account stood, its address says. Imported creators have no account of their own, and are active.
    private static let unsuspend = PostgresStatement<Void>(
        """
        WITH was AS (
            SELECT CASE WHEN email IS NULL OR email_verified_at IS NOT NULL THEN 'active'
                   ELSE coalesce(suspended_from, 'pending') END AS status
            FROM user_accounts WHERE user_id = $1),
        account AS (
            UPDATE user_accounts SET suspended_at = NULL, suspended_reason = NULL, suspended_from = NULL, version = version + 1,
                   updated_at = now()
            WHERE user_id = $1)
        UPDATE users SET status = coalesce((SELECT status FROM was), 'active'), version = version + 1, updated_at = now() WHERE id = $1
        """)

    static func unsuspend(_ id: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(unsuspend, [.uuid(id.rawValue)])
    }

    // MARK: Roles

    private static let grant = PostgresStatement<Void>(
        """
        WITH role AS (INSERT INTO user_roles (user_id, role, granted_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING),
        bar AS (
            UPDATE user_accounts SET creator_barred_at = NULL WHERE user_id = $1 AND $2 = 'creator' AND creator_barred_at IS NOT NULL)
        UPDATE users SET is_creator = is_creator OR $2 = 'creator', version = version + 1, updated_at = now() WHERE id = $1
        """)

    /// `admin` is who grants it, nil for the command line.
    static func grant(
        _ role: Role, to id: EntityID, by admin: EntityID?, in transaction: PostgresTransaction
    ) async throws(PostgresError) {
        try await transaction.execute(
            grant, [.uuid(id.rawValue), .text(role.rawValue), admin.map { .uuid($0.rawValue) } ?? .null])
    }

    private static let revoke = PostgresStatement<Void>(
        """
        WITH role AS (DELETE FROM user_roles WHERE user_id = $1 AND role = $2),
        bar AS (UPDATE user_accounts SET creator_barred_at = now() WHERE user_id = $1 AND $2 = 'creator')
        UPDATE users SET is_creator = is_creator AND $2 <> 'creator', version = version + 1, updated_at = now() WHERE id = $1
        """)

    /// Whoever loses the role of a creator so does not take it again by themselves.
    static func revoke(_ role: Role, from id: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(revoke, [.uuid(id.rawValue), .text(role.rawValue)])
    }

    private static let lockAdmins = PostgresStatement<Void>("SELECT pg_advisory_xact_lock(hashtextextended('kababeat admins', 0))")
    private static let otherAdmin = PostgresStatement<Bool>(
        """
        SELECT EXISTS (
            SELECT FROM user_roles JOIN users ON users.id = user_id WHERE role = 'admin' AND status = 'active' AND users.id <> $1)
            OR NOT EXISTS (SELECT FROM user_roles WHERE role = 'admin' AND user_id = $1)
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Makes sure that there is an admin left who can act when `id` no longer can; one such change after the other, until the
    /// transaction ends. Throws `conflict`.
    static func keepAnAdmin(without id: EntityID, in transaction: PostgresTransaction) async throws {
        try await transaction.execute(lockAdmins)
        guard try await transaction.query(otherAdmin, [.uuid(id.rawValue)]).first == true else {
            throw Problem(.conflict, "This is the last admin; make another one first.")
        }
    }
}
