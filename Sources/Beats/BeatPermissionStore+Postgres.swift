import Contract
import DataPlane
import PostgresClient

/// Permissions and invitations. Everything runs as the account that asks: row security lets it see and remove what concerns it, invite
/// to its own beats, and accept what is for it.
struct BeatPermissionStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // No title where the beat is not there for the reader: whoever made it, who invited, is not to be seen any more.
    private static let columns = """
        SELECT permission.beat_id, CASE WHEN granter.id IS NOT NULL THEN beats.title END,
               permission.permission_type, permission.created_at, permission.accepted_at,
               permission.user_id, member.username, member.display_name, member.avatar_url,
               permission.granted_by, granter.username, granter.display_name, granter.avatar_url
        """
    private static let joins = """
        LEFT JOIN beats ON beats.id = permission.beat_id AND beats.deleted_at IS NULL
        LEFT JOIN users AS member ON member.id = permission.user_id
        LEFT JOIN users AS granter ON granter.id = permission.granted_by
        """

    private static func permission(_ row: borrowing PostgresRow) throws(PostgresError) -> BeatPermission {
        BeatPermission(
            beat: EntityID(rawValue: try row.uuid(0)), title: try row.textOrNil(1),
            person: .init(
                id: EntityID(rawValue: try row.uuid(5)), username: try row.textOrNil(6), displayName: try row.textOrNil(7),
                avatarURL: try row.textOrNil(8)),
            grantedBy: .init(
                id: EntityID(rawValue: try row.uuid(9)), username: try row.textOrNil(10), displayName: try row.textOrNil(11),
                avatarURL: try row.textOrNil(12)),
            level: BeatPermission.Level(rawValue: try row.text(2)) ?? .viewer,
            createdAt: Timestamp(microseconds: try row.timestampMicroseconds(3)),
            acceptedAt: try row.timestampMicrosecondsOrNil(4).map { Timestamp(microseconds: $0) })
    }

    // MARK: Reading

    private static let ownerOf = PostgresStatement<EntityID>("SELECT creator_id FROM beats WHERE id = $1 AND deleted_at IS NULL") {
        row throws(PostgresError) in EntityID(rawValue: try row.uuid(0))
    }
    private static let ofBeat = PostgresStatement<BeatPermission>(
        "\(columns) FROM beat_permissions AS permission \(joins) WHERE permission.beat_id = $1 "
            + "ORDER BY permission.created_at, permission.user_id LIMIT $2", decode: permission)
    private static let ofOne = PostgresStatement<BeatPermission>(
        "\(columns) FROM beat_permissions AS permission \(joins) WHERE permission.beat_id = $1 AND permission.user_id = $2",
        decode: permission)
    private static let ofAccount = PostgresStatement<BeatPermission>(
        """
        \(columns) FROM beat_permissions AS permission \(joins)
        WHERE permission.user_id = $1 AND ($2::timestamptz IS NULL OR (permission.created_at, permission.beat_id) < ($2, $3::uuid))
        ORDER BY permission.created_at DESC, permission.beat_id DESC OFFSET $4 LIMIT $5
        """, decode: permission)
    private static let countOfAccount = PostgresStatement<Int64>("SELECT count(*) FROM beat_permissions WHERE user_id = $1") {
        row throws(PostgresError) in try row.int64(0)
    }

    /// Who made a beat; nil where the account may not see one of that id.
    func owner(of beat: EntityID, for account: Account) async throws(Problem) -> EntityID? {
        try await postgres.rows(Self.ownerOf, [.uuid(beat.rawValue)], as: PostgresSettings(.account(account)), within: timeout).first
    }

    /// Those of one beat that the account may see, the oldest first.
    func permissions(of beat: EntityID, limit: Int, for account: Account) async throws(Problem) -> [BeatPermission] {
        try await postgres.rows(
            Self.ofBeat, [.uuid(beat.rawValue), .int64(Int64(limit))], as: PostgresSettings(.account(account)), within: timeout)
    }

    /// What `person` may do with the beat, or is invited to, as far as the account may see that.
    func permission(of person: EntityID, for beat: EntityID, as account: Account) async throws(Problem) -> BeatPermission? {
        try await postgres.rows(
            Self.ofOne, [.uuid(beat.rawValue), .uuid(person.rawValue)], as: PostgresSettings(.account(account)), within: timeout
        ).first
    }

    /// Those that an account was given, the newest first.
    func permissions(
        after position: (Timestamp, EntityID)?, offset: Int, limit: Int, for account: Account
    ) async throws(Problem) -> [BeatPermission] {
        try await postgres.rows(
            Self.ofAccount,
            [
                .uuid(account.id.rawValue), position.map { .timestamp($0.0.microseconds) } ?? .null,
                position.map { .uuid($0.1.rawValue) } ?? .null, .int64(Int64(offset)), .int64(Int64(limit)),
            ], as: PostgresSettings(.account(account)), within: timeout)
    }

    func count(for account: Account) async throws(Problem) -> Int64 {
        try await postgres.rows(
            Self.countOfAccount, [.uuid(account.id.rawValue)], as: PostgresSettings(.account(account)), within: timeout
        ).first ?? 0
    }

    // MARK: Changing

    // One invitation to a beat after the other, so that the count holds.
    private static let lock = PostgresStatement<Void>("SELECT FROM beats WHERE id = $1 FOR NO KEY UPDATE")
    private static let countOfBeat = PostgresStatement<Int64>("SELECT count(*) FROM beat_permissions WHERE beat_id = $1") {
        row throws(PostgresError) in try row.int64(0)
    }
    private static let insert = PostgresStatement<BeatPermission>(
        """
        WITH permission AS (
            INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by) VALUES ($1, $2, $3, $4) RETURNING *
        )
        \(columns) FROM permission \(joins)
        """, decode: permission)
    private static let accept = PostgresStatement<Void>(
        "UPDATE beat_permissions SET accepted_at = now() WHERE beat_id = $1 AND user_id = $2 AND accepted_at IS NULL")
    private static let remove = PostgresStatement<Bool>(
        "DELETE FROM beat_permissions WHERE beat_id = $1 AND user_id = $2 RETURNING accepted_at IS NOT NULL"
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Invites `person`. Throws `notFound` where the account may not see the beat, `forbidden` where it is another's, `conflict` where
    /// the person was invited before or `most` are.
    func invite(
        _ person: EntityID, as level: BeatPermission.Level, to beat: EntityID, most: Int, _ mark: IdempotencyMark, by account: Account,
        filing event: AuditEvent
    ) async throws(Problem) -> BeatPermission {
        let refusals = [
            "beat_permissions_pkey": Problem(.conflict, "This account has a permission for this beat, or an invitation, already."),
            "beat_permissions_user_id_fkey": Problem.notFound("user"),
            "beat_permissions_granted_by_creator": Problem.forbidden,
        ]
        // Made out here: where such a closure makes a parameter of 16 bytes itself, Swift 6.3.1 can call a null pointer.
        let (me, onBeat) = (account.id, [PostgresValue.uuid(beat.rawValue)])
        let row: [PostgresValue] = [.uuid(beat.rawValue), .uuid(person.rawValue), .text(level.rawValue), .uuid(account.id.rawValue)]
        return try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout, refusals: refusals) { transaction in
            guard let owner = try await transaction.query(Self.ownerOf, onBeat).first else { throw Problem.notFound("beat") }
            guard owner == me else { throw Problem.forbidden }
            try await transaction.execute(Self.lock, onBeat)
            let count = try await transaction.query(Self.countOfBeat, onBeat).first ?? 0
            guard count < Int64(most) else { throw Problem(.conflict, "A beat can be shared with \(most) accounts at most.") }
            let made = try await transaction.query(Self.insert, row)
            guard let permission = made.first else { throw Problem.unexpected }
            try await transaction.file(event)
            try await transaction.set(mark)
            return permission
        }
    }

    /// Accepts the account's own invitation, and files `event`. Nil where there is none; what was accepted before stays as it is.
    func accept(
        _ beat: EntityID, _ mark: IdempotencyMark, for account: Account, filing event: @Sendable (BeatPermission) -> AuditEvent
    ) async throws(Problem) -> BeatPermission? {
        let parameters: [PostgresValue] = [.uuid(beat.rawValue), .uuid(account.id.rawValue)]
        return try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            let changed = try await transaction.execute(Self.accept, parameters)
            // Read afterwards: only then may the account see the beat's title.
            guard let permission = try await transaction.query(Self.ofOne, parameters).first else { return nil }
            if changed > 0 {
                try await transaction.file(event(permission))
                try await transaction.set(mark)
            }
            return permission
        }
    }

    /// Takes away what the account may, of its own beat whosever, else its own, and files what `event` makes of whether it had been
    /// accepted. False where there is nothing of that kind.
    func remove(
        _ person: EntityID, from beat: EntityID, by account: Account, filing event: @Sendable (Bool) -> AuditEvent
    ) async throws(Problem) -> Bool {
        try await !postgres.rows(
            Self.remove, [.uuid(beat.rawValue), .uuid(person.rawValue)], as: PostgresSettings(.account(account)), within: timeout,
            filing: { $0.map(event) }
        ).isEmpty
    }
}
