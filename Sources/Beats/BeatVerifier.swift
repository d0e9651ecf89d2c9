import Contract
import DataPlane
import MongoClient
import PostgresClient

/// Compares copies with what they are made of: MongoDB with Postgres, beat by beat, and samples of the shared cache with both.
///
/// A beat that is on its way (an outbox row is left, or it was changed in the last seconds) is passed over: it is not wrong, only not
/// there yet. Reads pages by id, so it holds nothing for long and takes no more memory for more beats.
public struct BeatVerifier: Sendable {
    private static let page = 500
    static let moment = Duration.seconds(1)

    private let postgres: PostgresAccess
    private let mongo: MongoAccess
    private let projector: BeatProjector
    private let repair: BeatRepair
    let cores: BeatCoreStore
    let contents: BeatContentStore
    let sampler: CacheSampler?
    private let timeout = Duration.seconds(10)

    /// Without a `sampler` the cache is left out.
    public init(postgres: PostgresAccess, mongo: MongoAccess, sampler: CacheSampler? = nil) {
        self.postgres = postgres
        self.mongo = mongo
        self.sampler = sampler
        projector = BeatProjector(postgres: postgres, mongo: mongo)
        repair = BeatRepair(postgres: postgres, mongo: mongo)
        cores = BeatCoreStore(postgres: postgres, timeout: timeout)
        contents = BeatContentStore(mongo: mongo, timeout: timeout)
    }

    /// What there is in the shared cache to compare.
    public static let cached = [BeatService.detail, BeatService.summary]

    /// Compares all beats and looks for copies of none, or compares those that were changed since `since`; then samples of the cache. Waits
    /// for `pause` after each page, so that others come first. `onProgress` hears how many beats are done, and of how many. Throws
    /// `storeUnavailable` or `overloaded`; a Redis that does not answer leaves the cache out.
    @discardableResult
    public func run(
        since: Timestamp? = nil, pause: Duration = .zero, onProgress: (Int64, Int64) -> Void = { _, _ in },
        onMismatch: (BeatMismatch) async throws(Problem) -> Void
    ) async throws(Problem) -> Extent {
        let all = try await count()
        var done: Int64 = 0
        var last = EntityID(rawValue: 0)
        while true {
            let ids = try await settled(after: last, since: since)
            guard let end = ids.last else { break }
            for mismatch in try await lasting(ids) { try await onMismatch(mismatch) }
            done += Int64(ids.count)
            last = end
            onProgress(done, max(done, all))
            // Cancelled, it goes on at once: the next look-up ends it.
            if pause > .zero { try? await Task.sleep(for: pause) }
        }
        if since == nil { for place in [BeatMismatch.Place.beats, .searchIndex] { try await orphans(in: place, pause, onMismatch) } }
        do throws(Problem) { return Extent(beats: done, samples: try await compareCache(onMismatch)) } catch {
            guard error.missing.first == .redis else { throw error }
            return Extent(beats: done, samples: nil)
        }
    }

    /// What a run has looked at.
    public struct Extent: Sendable {
        public let beats: Int64
        /// Bodies of the cache; nil where it was left out.
        public let samples: Int?
    }

    /// Has a beat delivered anew, through the outbox, in a version that is newer than the copy's, so that every fence lets it pass. What
    /// MongoDB has lost of its content is given up; an orphan, which no row of Postgres stands for, is taken away. Throws
    /// `storeUnavailable` or `overloaded`.
    public func repair(_ mismatch: BeatMismatch) async throws(Problem) {
        switch (mismatch.place, mismatch.kind) {
        case (.cache, _): if try await !repair.redeliver(mismatch) { try await sampler?.forget(mismatch.id) }
        case (_, .orphan): try await repair.remove(mismatch.id)
        default: try await repair.renew(mismatch)
        }
    }

    /// Has a beat delivered once more, as it stands: what may be done without asking anybody. Returns whether that was begun. Throws
    /// `storeUnavailable` or `overloaded`.
    public func redeliver(_ mismatch: BeatMismatch) async throws(Problem) -> Bool { try await repair.redeliver(mismatch) }

    // MARK: Postgres

    private static let countAll = PostgresStatement<Int64>("SELECT count(*) FROM beats") { row throws(PostgresError) in try row.int64(0) }

    private func count() async throws(Problem) -> Int64 {
        try await postgres.rows(Self.countAll, [], as: .system, within: timeout).first ?? 0
    }

    private static let selectSettled = PostgresStatement<EntityID>(
        """
        SELECT id FROM beats
        WHERE id > $1 AND updated_at < now() - interval '5 seconds' AND updated_at >= $2
            AND NOT EXISTS (SELECT FROM outbox WHERE aggregate_type = 'beat' AND aggregate_id = beats.id AND state = 'pending')
        ORDER BY id LIMIT $3
        """
    ) { row throws(PostgresError) in EntityID(rawValue: try row.uuid(0)) }

    private func settled(after id: EntityID, since: Timestamp?) async throws(Problem) -> [EntityID] {
        try await postgres.rows(
            Self.selectSettled, [.uuid(id.rawValue), .timestamp(since?.microseconds ?? 0), .int64(Int64(Self.page))], as: .system,
            within: timeout)
    }

    private static let selectKnown = PostgresStatement<EntityID>("SELECT id FROM beats WHERE id = ANY($1)") {
        row throws(PostgresError) in EntityID(rawValue: try row.uuid(0))
    }

    private static let selectUndelivered = PostgresStatement<EntityID>(
        """
        SELECT id FROM beats
        WHERE id = ANY($1)
            AND (EXISTS (SELECT FROM outbox WHERE aggregate_type = 'beat' AND aggregate_id = beats.id AND state = 'pending')
                OR EXISTS (SELECT FROM outbox WHERE aggregate_type = 'creator' AND aggregate_id = creator_id AND state = 'pending'))
        """
    ) { row throws(PostgresError) in EntityID(rawValue: try row.uuid(0)) }

    /// Those of `ids` that are on their way to the copies.
    func undelivered(among ids: [EntityID]) async throws(Problem) -> Set<EntityID> {
        Set(try await postgres.rows(Self.selectUndelivered, [.uuids(ids.map(\.rawValue))], as: .system, within: timeout))
    }

    // MARK: Comparing

    /// What is wrong and still is a moment later: what was only being written when it was looked at is not.
    private func lasting(_ ids: [EntityID]) async throws(Problem) -> [BeatMismatch] {
        let suspects = try await compare(ids)
        guard !suspects.isEmpty else { return [] }
        // A write takes less. Where the comparison is cancelled meanwhile, the next look-up ends it.
        try? await Task.sleep(for: Self.moment)
        let ids = Set(suspects.map(\.id))
        let still = Set(try await compare(Array(ids.subtracting(try await undelivered(among: Array(ids))))))
        return suspects.filter(still.contains)
    }

    private func compare(_ ids: [EntityID]) async throws(Problem) -> [BeatMismatch] {
        let states = try await projector.states(ids)
        return try await mongo.result(within: timeout) { session in
            let filter: BSONDocument = ["_id": ["$in": .array(ids.map { .uuid($0.rawValue) })]]
            var contents: [EntityID: (version: Int64, isDeleted: Bool, facts: SearchFacts)] = [:]
            try session.find("beats", filter) { document in
                contents[EntityID(rawValue: try document.uuid("_id"))] = (
                    try document.int64("v"), document.boolOrNil("deleted") ?? false, SearchFacts(document)
                )
            }
            var rows: [EntityID: BSONDocument] = [:]
            try SearchIndex.read(session) { session in
                try session.find(SearchIndex.collection, filter) { document in
                    rows[EntityID(rawValue: try document.uuid("_id"))] = BSONDocument(copying: document.copy())
                }
            }
            var mismatches: [BeatMismatch] = []
            for state in states {
                let content = contents[state.id]
                // Staged content whose delivery was given up is as stale as none. A deleted beat keeps its content.
                let copy = content.map { ($0.version, $0.isDeleted == state.isDeleted && state.staged == nil) }
                if let kind = Self.kind(copy, state.version) {
                    mismatches.append(BeatMismatch(kind: kind, place: .beats, id: state.id, version: content?.version ?? 0))
                }
                let row = rows[state.id]
                let expected = BeatDocuments.indexDocument(state, content?.facts ?? SearchFacts())
                let seen = row.flatMap { Self.seen($0, expected) }
                // A tombstone that has gone is as good as one.
                if let kind = Self.kind(seen, state.version), !(kind == .missing && !state.isPublished) {
                    mismatches.append(BeatMismatch(kind: kind, place: .searchIndex, id: state.id, version: seen?.version ?? 0))
                }
            }
            return mismatches
        }
    }

    /// Pure: what is wrong with a copy of this version that is, or is not, as it should be.
    static func kind(_ copy: (version: Int64, isEqual: Bool)?, _ version: Int64) -> BeatMismatch.Kind? {
        guard let copy else { return .missing }
        if copy.version < version { return .stale }
        return copy.version > version || !copy.isEqual ? .different : nil
    }

    /// The version of a row of the index, and whether it says what it should.
    private static func seen(_ row: BSONDocument, _ expected: BSONDocument) -> (version: Int64, isEqual: Bool)? {
        guard case .int64(let version)? = row["v"] else { return nil }
        return (version, BeatDocuments.isRow(row, like: expected))
    }

    private func orphans(
        in place: BeatMismatch.Place, _ pause: Duration, _ onMismatch: (BeatMismatch) async throws(Problem) -> Void
    ) async throws(Problem) {
        var last = EntityID(rawValue: 0)
        while true {
            let after = last
            // Of the index, tombstones may outlive what they are of; a document of a deleted beat is one like any other.
            let filter: BSONDocument =
                place == .beats
                ? ["_id": ["$gt": .uuid(after.rawValue)]] : ["_id": ["$gt": .uuid(after.rawValue)], "deleted": ["$ne": true]]
            let ids = try await mongo.result(within: timeout) { session in
                try SearchIndex.read(session) { session in
                    var ids: [EntityID] = []
                    try session.find(place.rawValue, filter, projection: ["_id": 1], sort: ["_id": 1], limit: Int64(Self.page)) {
                        ids.append(EntityID(rawValue: try $0.uuid("_id")))
                    }
                    return ids
                }
            }
            guard let end = ids.last else { return }
            // Asked afterwards: a beat is in Postgres before it is anywhere else.
            let known = Set(try await postgres.rows(Self.selectKnown, [.uuids(ids.map(\.rawValue))], as: .system, within: timeout))
            for id in ids where !known.contains(id) { try await onMismatch(BeatMismatch(kind: .orphan, place: place, id: id, version: 0)) }
            last = end
            // Cancelled, it goes on at once, as above.
            if pause > .zero { try? await Task.sleep(for: pause) }
        }
    }
}
