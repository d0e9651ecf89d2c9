import Contract
import DataPlane
import PostgresClient

/// Reads cores of beats. Postgres decides who may see which: published ones are read as the anonymous principal, any other as the
/// account that asks.
struct BeatCoreStore: Sendable {
    let postgres: PostgresAccess
    /// What one look-up may take.
    let timeout: Duration

    /// What `core` reads, in order, of `beats` and the `users` row of its creator.
    static let columns = """
        beats.id, beats.version, beats.title, beats.description, beats.is_featured, beats.currency,
               beats.price_basic, beats.price_premium, beats.price_exclusive, beats.created_at, beats.updated_at,
               users.id, users.username, users.display_name, users.avatar_url, users.is_verified, beats.status
        """
    static let columnCount = 17
    private static let from = "SELECT \(columns) FROM beats JOIN users ON users.id = beats.creator_id"
    private static let select = PostgresStatement<BeatCore>(
        "\(from) WHERE beats.id = ANY($1) AND beats.status = 'published'", decode: core)
    private static let selectVersions = PostgresStatement<(EntityID, Int64)>(
        "SELECT id, version FROM beats WHERE id = ANY($1) AND status = 'published'"
    ) { row throws(PostgresError) in (EntityID(rawValue: try row.uuid(0)), try row.int64(1)) }
    private static let selectAny = PostgresStatement<BeatCore>(
        "\(from) WHERE beats.id = $1 AND beats.deleted_at IS NULL", decode: core)

    static func core(_ row: borrowing PostgresRow) throws(PostgresError) -> BeatCore {
        let code = try row.text(5)
        let currency = Currency(code: code) ?? .usd
        return BeatCore(
            id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), title: try row.text(2), description: try row.textOrNil(3),
            isFeatured: try row.bool(4), currency: currency,
            prices: LicensePrices(
                basic: try money(row, 6, currency), premium: try money(row, 7, currency), exclusive: try money(row, 8, currency)),
            creator: BeatCore.Creator(
                id: EntityID(rawValue: try row.uuid(11)), username: try row.text(12), displayName: try row.textOrNil(13),
                avatarURL: try row.textOrNil(14), isVerified: try row.bool(15)),
            createdAt: Timestamp(microseconds: try row.timestampMicroseconds(9)),
            updatedAt: Timestamp(microseconds: try row.timestampMicroseconds(10)),
            status: BeatStatus(rawValue: try row.text(16)) ?? .archived)
    }

    private static func money(_ row: borrowing PostgresRow, _ column: Int, _ currency: Currency) throws(PostgresError) -> Money? {
        guard let units = try row.numericMinorUnitsOrNil(column, scale: currency.digits) else { return nil }
        return Money(minorUnits: units, currency: currency)
    }

    /// The cores of those of `ids` that are published. Throws `storeUnavailable` or `overloaded`.
    func cores(_ ids: [EntityID]) async throws(Problem) -> [EntityID: BeatCore] {
        let cores = try await postgres.rows(
            Self.select, [.uuids(ids.map(\.rawValue))], as: .anonymous, within: timeout)
        return Dictionary(cores.map { ($0.id, $0) }) { first, _ in first }
    }

    /// The versions of those of `ids` that are published: of the same beats as `cores`. Throws `storeUnavailable` or `overloaded`.
    func versions(_ ids: [EntityID]) async throws(Problem) -> [EntityID: Int64] {
        let versions = try await postgres.rows(Self.selectVersions, [.uuids(ids.map(\.rawValue))], as: .anonymous, within: timeout)
        return Dictionary(versions) { first, _ in first }
    }

    /// A beat in whatever status, if the account may see it. Throws `storeUnavailable` or `overloaded`.
    func core(_ id: EntityID, for account: Account) async throws(Problem) -> BeatCore? {
        try await postgres.rows(Self.selectAny, [.uuid(id.rawValue)], as: PostgresSettings(.account(account)), within: timeout).first
    }

    // MARK: Of one creator

    private static let selectOwn = PostgresStatement<BeatCore>(
        """
        \(from) WHERE beats.creator_id = $1 AND beats.deleted_at IS NULL AND (beats.created_at, beats.id) < ($2, $3)
        ORDER BY beats.created_at DESC, beats.id DESC LIMIT $4 OFFSET $5
        """, decode: core)
    private static let selectOwnOfStatus = PostgresStatement<BeatCore>(
        """
        \(from) WHERE beats.creator_id = $1 AND beats.deleted_at IS NULL AND (beats.created_at, beats.id) < ($2, $3)
            AND beats.status = $6
        ORDER BY beats.created_at DESC, beats.id DESC LIMIT $4 OFFSET $5
        """, decode: core)
    private static let countOwn = PostgresStatement<Int64>(
        "SELECT count(*) FROM beats WHERE creator_id = $1 AND deleted_at IS NULL AND status = ANY($2)"
    ) { row throws(PostgresError) in try row.int64(0) }

    /// Beats that the account made, in whatever status unless one is named, the newest first, from `position` on. Throws
    /// `storeUnavailable` or `overloaded`.
    func own(
        by account: Account, _ status: BeatStatus?, before position: (Timestamp, EntityID)?, offset: Int, limit: Int
    ) async throws(Problem) -> [BeatCore] {
        let (time, id) = position ?? (Timestamp(microseconds: 253_402_300_799_000_000), EntityID(rawValue: .max))
        let parameters: [PostgresValue] = [
            .uuid(account.id.rawValue), .timestamp(time.microseconds), .uuid(id.rawValue), .int64(Int64(limit)), .int64(Int64(offset)),
        ]
        return try await postgres.rows(
            status == nil ? Self.selectOwn : Self.selectOwnOfStatus, parameters + (status.map { [.text($0.rawValue)] } ?? []),
            as: PostgresSettings(.account(account)), within: timeout)
    }

    /// How many beats the account made. Throws `storeUnavailable` or `overloaded`.
    func countOwn(by account: Account, _ status: BeatStatus?) async throws(Problem) -> Int64 {
        let statuses = status.map { [$0.rawValue] } ?? BeatStatus.allCases.map(\.rawValue)
        return try await postgres.rows(
            Self.countOwn, [.uuid(account.id.rawValue), .texts(statuses)], as: PostgresSettings(.account(account)), within: timeout
        ).first ?? 0
    }
}
