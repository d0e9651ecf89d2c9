import Contract
import DataPlane
import PostgresClient

/// What Postgres knows of a rebuild of the search index: which collection is being filled, so that every relay writes to it too.
struct SearchRebuildRegistry: Sendable {
    let postgres: PostgresAccess
    private let timeout = Duration.seconds(5)

    init(postgres: PostgresAccess) { self.postgres = postgres }

    // The lease is locked: whoever takes it over afterwards drops this collection before registering one of his own.
    private static let insert = PostgresStatement<Bool>(
        """
        WITH held AS (SELECT FROM leases WHERE name = $2 AND holder = $3 AND held_until > now() FOR SHARE)
        INSERT INTO index_rebuilds (index_name, collection) SELECT 'search_index', $1 FROM held
        ON CONFLICT (index_name) DO UPDATE SET collection = excluded.collection, begun_at = now()
        RETURNING true
        """
    ) { row throws(PostgresError) in try row.bool(0) }
    private static let delete = PostgresStatement<Void>("DELETE FROM index_rebuilds WHERE collection = $1")
    private static let select = PostgresStatement<String>("SELECT collection FROM index_rebuilds WHERE index_name = 'search_index'") {
        row throws(PostgresError) in try row.text(0)
    }

    /// From now on relays write to `collection` too. False, and nothing registered, where the lease has passed on.
    func register(_ collection: String, _ lease: Lease) async throws(Problem) -> Bool {
        try await postgres.rows(
            Self.insert, [.text(collection), .text(lease.name), .text(lease.holder)], as: .system, within: timeout
        ).first ?? false
    }

    /// From now on they do not.
    func clear(_ collection: String) async throws(Problem) {
        _ = try await postgres.rows(Self.delete, [.text(collection)], as: .system, within: timeout)
    }

    func current() async throws(Problem) -> String? {
        try await postgres.rows(Self.select, [], as: .system, within: timeout).first
    }

    // MARK: Beats

    private static let count = PostgresStatement<Int64>("SELECT count(*) FROM beats") { row throws(PostgresError) in try row.int64(0) }
    private static let page = PostgresStatement<EntityID>("SELECT id FROM beats WHERE id > $1 ORDER BY id LIMIT $2") {
        row throws(PostgresError) in EntityID(rawValue: try row.uuid(0))
    }

    func countBeats() async throws(Problem) -> Int64 {
        try await postgres.rows(Self.count, [], as: .system, within: timeout).first ?? 0
    }

    func beats(after id: EntityID, limit: Int) async throws(Problem) -> [EntityID] {
        try await postgres.rows(Self.page, [.uuid(id.rawValue), .int64(Int64(limit))], as: .system, within: timeout)
    }

    // MARK: Deliveries under way

    private static let selectClaims = PostgresStatement<UInt128>(
        "SELECT DISTINCT claim_token FROM outbox WHERE aggregate_type = 'beat' AND claimed_until > now()"
    ) { row throws(PostgresError) in try row.uuid(0) }

    private static let selectClaimed = PostgresStatement<Bool>(
        "SELECT EXISTS (SELECT FROM outbox WHERE aggregate_type = 'beat' AND claimed_until > now() AND claim_token = ANY($1))"
    ) { row throws(PostgresError) in try row.bool(0) }

    /// The tokens of the relays that have beats under their lease.
    func claims() async throws(Problem) -> [UInt128] {
        try await postgres.rows(Self.selectClaims, [], as: .system, within: timeout)
    }

    /// Whether any of them still has.
    func isAnyClaimed(_ tokens: [UInt128]) async throws(Problem) -> Bool {
        guard !tokens.isEmpty else { return false }
        return try await postgres.rows(Self.selectClaimed, [.uuids(tokens)], as: .system, within: timeout).first ?? false
    }
}
