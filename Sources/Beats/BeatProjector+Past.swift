import Contract
import DataPlane
import JSON
import MongoClient
import PostgresClient

/// Versions that Postgres has lost: a standby that was not waited for took over, or a backup was restored, and MongoDB has copies of what
/// came after. Their fence refuses the versions that are made anew under the same numbers, and ones below: only what stands behind a fence
/// is looked at here, so that a delivery that passes costs nothing more.
extension BeatProjector {
    /// What stands where a write was refused as not newer.
    enum Standing: Equatable {
        /// The very version that Postgres has: somebody else delivered it.
        case delivered
        /// An older one: whoever is to deliver the next is at it, or MongoDB has lost what it had.
        case older
        /// One that Postgres does not know, of this version or a newer one.
        case unknown(version: Int64)
    }

    /// Looks at what stands where writes were refused, and at Postgres after that: a version that MongoDB has and Postgres does not have
    /// by then, it never gets. Throws `storeUnavailable` or `overloaded`.
    func standings(of ids: Set<EntityID>) async throws(Problem) -> [EntityID: Standing] {
        guard !ids.isEmpty else { return [:] }
        let filter: BSONDocument = ["_id": ["$in": .array(ids.map { .uuid($0.rawValue) })]]
        let copies = try await mongo.result(within: timeout) { session in
            var copies: [EntityID: (content: BSONDocument?, row: BSONDocument?)] = [:]
            try session.find("beats", filter) { document in
                copies[EntityID(rawValue: try document.uuid("_id")), default: (nil, nil)].content = BSONDocument(copying: document.copy())
            }
            try SearchIndex.read(session) { session in
                try session.find(SearchIndex.collection, filter) { document in
                    copies[EntityID(rawValue: try document.uuid("_id")), default: (nil, nil)].row = BSONDocument(copying: document.copy())
                }
            }
            return copies
        }
        let states = try await states(Array(ids))
        let taken = try await taken(by: states)
        var standings: [EntityID: Standing] = [:]
        for state in states {
            let copy = copies[state.id]
            let standing = Self.standing(of: state, content: copy?.content, row: copy?.row)
            standings[state.id] = standing == .delivered && taken.contains(state.id) ? .unknown(version: state.version) : standing
        }
        return standings
    }

    /// Those of the beats whose history says something else of a version that is staged.
    private func taken(by states: [BeatState]) async throws(Problem) -> Set<EntityID> {
        var staged: [EntityID: [Int64: BeatChange]] = [:]
        // What cannot be read is refused elsewhere.
        for state in states { staged[state.id] = Dictionary((try? state.history())?.map { ($0.v, $0) } ?? []) { $1 } }
        let buckets = Set(staged.flatMap { beat, changes in changes.keys.map { BeatHistory.key(beat, $0) } })
        guard !buckets.isEmpty else { return [] }
        let expected = staged
        return try await mongo.result(within: timeout) { session in
            var taken: Set<EntityID> = []
            try session.find("beat_versions", ["_id": ["$in": .array(buckets.map { .document($0) })]]) { document in
                let beat = EntityID(rawValue: try document.uuid("_id.beatId"))
                let isOther = BeatHistory.read(document).contains { listed in
                    expected[beat]?[listed.v].map { $0.text != listed.text || $0.at != listed.at } ?? false
                }
                if isOther { taken.insert(beat) }
            }
            return taken
        }
    }

    /// Pure. One version of a beat is written with one content, by whomever: what says something else under the same number is of another
    /// past. Nothing is staged where MongoDB has had the content before; then it is the owner of it, and what it has is right.
    static func standing(of state: BeatState, content: BSONDocument?, row: BSONDocument?) -> Standing {
        let (contentVersion, rowVersion) = (content?.version ?? 0, row?.version ?? 0)
        let newest = max(contentVersion, rowVersion)
        if newest > state.version { return .unknown(version: newest) }
        // Without the content, nobody knows what a row was made of.
        guard let content, contentVersion == state.version else { return .older }
        // What cannot be read is refused elsewhere.
        let staged = state.staged.flatMap { try? BeatContentDocument(stagedJSON: $0) }
        let facts = staged.map { SearchFacts($0) } ?? content.asBytes.withView { SearchFacts($0) }
        let isSame =
            BeatDocuments.isContent(content, of: state, staged)
            && (rowVersion < state.version || row.map { BeatDocuments.isRow($0, like: BeatDocuments.indexDocument(state, facts)) } ?? true)
        return isSame ? .delivered : .unknown(version: newest)
    }

    private static let lock = PostgresStatement<Void>("SELECT FROM beats WHERE id = $1 FOR NO KEY UPDATE")
    // What is staged was written under numbers that the history may have given to others. Each change gets a new one, in their order.
    private static let overtake = PostgresStatement<Void>(
        """
        WITH known AS (
            SELECT beats.id, greatest(beats.version, $2) AS newest, jsonb_array_length(staged.changes) AS changes
            FROM beats LEFT JOIN beat_content_staged AS staged ON staged.beat_id = beats.id WHERE beats.id = $1),
        renewed AS (
            UPDATE beats SET version = newest + greatest(changes, 1),
                content_version = CASE WHEN changes IS NULL THEN content_version ELSE newest + greatest(changes, 1) END
            FROM known WHERE beats.id = known.id RETURNING beats.id, beats.version, newest)
        UPDATE beat_content_staged AS staged SET version = renewed.version, changes = (
            SELECT coalesce(jsonb_agg(jsonb_set(change, '{v}', to_jsonb(newest + place)) ORDER BY place), '[]')
            FROM jsonb_array_elements(staged.changes) WITH ORDINALITY AS listed (change, place))
        FROM renewed WHERE staged.beat_id = renewed.id
        """)

    /// Gives a beat a version above one that Postgres has lost, so that every fence lets it pass: MongoDB's, and those of caches that hold
    /// the lost one. The delivery that is under way writes it. Throws `storeUnavailable` or `overloaded`.
    func overtake(_ id: EntityID, _ version: Int64) async throws(Problem) {
        let (key, parameters): ([PostgresValue], [PostgresValue]) = ([.uuid(id.rawValue)], [.uuid(id.rawValue), .int64(version)])
        try await postgres.transaction(as: .system, within: timeout) { transaction in
            try await transaction.execute(Self.lock, key)
            try await transaction.execute(Self.overtake, parameters)
        }
    }
}

extension BSONDocument {
    /// The version that a copy is of; 0 where it names none.
    fileprivate var version: Int64 {
        guard case .int64(let version)? = self["v"] else { return 0 }
        return version
    }
}

extension BeatDocuments {
    private static let contentKeys = ["metadata", "audio", "artwork", "collaborators"]

    /// Whether a document of this version is what a delivery makes of the state, with its staged content if it has any.
    static func isContent(_ found: BSONDocument, of state: BeatState, _ staged: BeatContentDocument?) -> Bool {
        guard (found["deleted"] == .bool(true)) == state.isDeleted else { return false }
        guard let staged else { return true }
        let expected = document(state, staged)
        return contentKeys.allSatisfy { found[$0] == expected[$0] }
    }

    private static let rowKeys = [
        "deleted", "title", "titleKey", "artistName", "creatorId", "genre", "genreKey", "mood", "moodKey", "tags", "bpm", "key", "price",
        "createdAt", "isFeatured", "words",
    ]

    /// Whether a row of the index says what it should, byte for byte: MongoDB tells spellings of a letter apart that Swift holds for equal.
    /// Popularity is counted there, and no copy.
    static func isRow(_ found: BSONDocument, like expected: BSONDocument) -> Bool { facts(found) == facts(expected) }

    private static func facts(_ row: BSONDocument) -> BSONDocument {
        BSONDocument(rowKeys.compactMap { key in row[key].map { (key, $0) } })
    }
}
