import Contract
import DataPlane
import PostgresClient

/// An account's own shares, whatever beat they are of, the newest first; as that account.
struct OwnBeatSplitStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // An offer comes before any right to see the beat: without that, the beat is its id alone.
    private static let select = PostgresStatement<OwnBeatSplit>(
        """
        SELECT split.beat_id, CASE WHEN creator.id IS NOT NULL THEN beats.title END, split.share, split.created_at, split.accepted_at,
               split.offered_by, creator.username, creator.display_name, creator.avatar_url
        FROM beat_splits AS split
             LEFT JOIN beats ON beats.id = split.beat_id AND beats.deleted_at IS NULL
             LEFT JOIN users AS creator ON creator.id = split.offered_by
        WHERE split.user_id = $1 AND ($2::timestamptz IS NULL OR (split.created_at, split.beat_id) < ($2, $3::uuid))
        ORDER BY split.created_at DESC, split.beat_id DESC OFFSET $4 LIMIT $5
        """
    ) { row throws(PostgresError) in
        OwnBeatSplit(
            beat: EntityID(rawValue: try row.uuid(0)), title: try row.textOrNil(1),
            share: .init(hundredths: try row.numericMinorUnits(2, scale: 2)),
            offeredBy: .init(
                id: EntityID(rawValue: try row.uuid(5)), username: try row.textOrNil(6), displayName: try row.textOrNil(7),
                avatarURL: try row.textOrNil(8)),
            createdAt: Timestamp(microseconds: try row.timestampMicroseconds(3)),
            acceptedAt: try row.timestampMicrosecondsOrNil(4).map { Timestamp(microseconds: $0) })
    }

    private static let count = PostgresStatement<Int64>("SELECT count(*) FROM beat_splits WHERE user_id = $1") {
        row throws(PostgresError) in try row.int64(0)
    }

    /// Names the order in cursors.
    private static let order: UInt64 = 5

    /// A page of the account's shares, open offers included. Throws `invalidCursor`, `storeUnavailable` or `overloaded`.
    func page(_ request: PageRequest, for account: Account) async throws(Problem) -> ListPage<OwnBeatSplit> {
        let position = try request.moment(of: Self.order)
        let (me, settings) = (PostgresValue.uuid(account.id.rawValue), PostgresSettings(.account(account)))
        let total = try await postgres.rows(Self.count, [me], as: settings, within: timeout).first ?? 0
        let found = try await postgres.rows(
            Self.select,
            [
                me, position.map { .timestamp($0.time.microseconds) } ?? .null, position.map { .uuid($0.id.rawValue) } ?? .null,
                .int64(Int64(request.offset)), .int64(Int64(request.limit) + 1),
            ], as: settings, within: timeout)
        return ListPage(cutting: found, of: request, total: ListTotal(counted: total)) { split in
            Cursor(order: Self.order, value: .integer(split.createdAt.microseconds), id: split.beat)
        }
    }
}
