import Contract
import DataPlane
import JSON
import MongoClient
import PostgresClient

/// Has copies that are wrong written anew, through the outbox: what is written, and when caches hear of it, is the relay's to say.
struct BeatRepair: Sendable {
    let postgres: PostgresAccess
    let mongo: MongoAccess
    private let timeout = Duration.seconds(10)

    init(postgres: PostgresAccess, mongo: MongoAccess) {
        self.postgres = postgres
        self.mongo = mongo
    }

    // MARK: What may be done unasked

    // Whoever has a row in the outbox is being delivered, or is a dead letter that rings by itself.
    private static let redeliver = PostgresStatement<Int64>(
        """
        WITH free AS (
            SELECT id, version FROM beats
            WHERE id = $1 AND NOT EXISTS (SELECT FROM outbox WHERE aggregate_type = 'beat' AND aggregate_id = $1)),
        renewed AS (
            UPDATE beats SET version = greatest(beats.version, $2) + 1 FROM free WHERE beats.id = free.id AND $3
            RETURNING beats.id, beats.version),
        announced AS (
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
            SELECT 'beat', id, version, 'upsert' FROM renewed
            UNION ALL SELECT 'beat', id, version, 'upsert' FROM free WHERE NOT $3
            RETURNING 1)
        SELECT count(*) FROM announced
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    /// Has a beat delivered once more, in a version of its own only where the copy's fence would not let it pass otherwise. Nothing is taken
    /// away, and no loss accepted: what MongoDB has lost stays missing. Returns whether the outbox has it now. Throws `storeUnavailable`
    /// or `overloaded`.
    func redeliver(_ mismatch: BeatMismatch) async throws(Problem) -> Bool {
        let needsVersion = mismatch.kind == .different && mismatch.place != .cache
        let parameters: [PostgresValue] = [.uuid(mismatch.id.rawValue), .int64(mismatch.version), .bool(needsVersion)]
        return try await postgres.rows(Self.redeliver, parameters, as: .system, within: timeout).first ?? 0 > 0
    }

    // MARK: What an operator asks for

    private static let renew = PostgresStatement<Void>(
        """
        WITH renewed AS (
            UPDATE beats SET version = greatest(version, $2) + 1,
                content_version = CASE WHEN content_version > $3 THEN greatest(version, $2) + 1 ELSE content_version END
            WHERE id = $1 RETURNING id, version, content_version = version AS is_lost),
        staged AS (
            INSERT INTO beat_content_staged (beat_id, version, content) SELECT id, version, $4::jsonb FROM renewed WHERE is_lost
            ON CONFLICT (beat_id) DO NOTHING)
        INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, version, 'upsert' FROM renewed
        """)

    /// Has a beat delivered anew in a version that is newer than the copy's, so that every fence lets it pass. Content that MongoDB has lost
    /// is lost: what is left of it, or nothing, becomes the content from now on. Throws `storeUnavailable` or `overloaded`.
    func renew(_ mismatch: BeatMismatch) async throws(Problem) {
        let id = mismatch.id.rawValue
        let left = try await mongo.result(within: timeout) { session in
            var left: (version: Int64, content: BeatContentDocument) = (0, BeatContentDocument())
            try session.find("beats", ["_id": .uuid(id)], limit: 1) { left = (try $0.int64("v"), BeatDraftContentStore.read($0)) }
            return left
        }
        let parameters: [PostgresValue] = [
            .uuid(id), .int64(mismatch.version), .int64(left.version), .json(try left.content.stagedJSON()),
        ]
        _ = try await postgres.rows(Self.renew, parameters, as: .system, within: timeout)
    }

    /// Takes away what no row of Postgres stands for. Throws `storeUnavailable` or `overloaded`.
    func remove(_ id: EntityID) async throws(Problem) {
        try await mongo.result(within: timeout) { session in
            for collection in ["beats", SearchIndex.collection] { try session.deleteMany(collection, ["_id": .uuid(id.rawValue)]) }
        }
    }
}
