import Contract
import CrashPoints
import DataPlane
import JSON
import MongoClient
import PostgresClient

/// Brings a beat's content document and its row of the search index up to the version that Postgres has.
///
/// Content that was staged with the version is written as it stands; a version that changed only the core keeps the content that is
/// there. Both writes stand behind the fence `v < version`. Readers are told once the primary has them; a majority is waited for once,
/// after all of them, and staged content goes when that has its version. While the search index is being rebuilt, the one that is being
/// filled gets every row as well, and gets it first: whenever the two are exchanged, lists show what was delivered.
public struct BeatProjector: Projector {
    public let kind = Announcement.Kind.beat
    let postgres: PostgresAccess
    let mongo: MongoAccess
    private let observer: (any Observer)?
    let timeout = Duration.seconds(10)
    /// How long a delivery waits for a majority. A primary that has none yet goes on being asked; later rows wait for this delivery.
    private let patience = Duration.seconds(5)

    /// `observer` hears of copies of versions that Postgres has lost.
    public init(postgres: PostgresAccess, mongo: MongoAccess, observer: (any Observer)? = nil) {
        self.postgres = postgres
        self.mongo = mongo
        self.observer = observer
    }

    public func project(_ ids: [EntityID]) async throws(Problem) -> Projection {
        let states = try await states(ids)
        crash(at: .relayAfterReadingState)
        let (first, term) = try await write(states)
        let written = try await mended(first)
        crash(at: .relayAfterMongo)
        // Beats are marked, never deleted: an id that Postgres does not know will not turn up later.
        let unknown = Dictionary(ids.map { ($0, ProjectionOutcome.refused(reason: "unknown_beat")) }) { first, _ in first }
        return Projection(unknown.merging(written.outcomes) { $1 }) { () throws(Problem) in
            if let term { try await mongo.result(within: patience) { try $0.settle(term) } }
            try await unstage(written)
            crash(at: .relayAfterUnstaging)
        }
    }

    // MARK: Postgres

    private static let select = PostgresStatement<BeatState>(
        """
        SELECT beats.id, beats.version, beats.status = 'published' AND users.status = 'active', beats.deleted_at IS NOT NULL,
               beats.title, beats.creator_id, coalesce(users.display_name, users.username), beats.currency, beats.price,
               beats.is_featured, beats.created_at, beats.updated_at, staged.content, staged.changes, beats.content_version,
               (SELECT collection FROM index_rebuilds WHERE index_name = 'search_index'), beats.published_at IS NOT NULL
        FROM beats JOIN users ON users.id = beats.creator_id
             LEFT JOIN beat_content_staged AS staged ON staged.beat_id = beats.id AND staged.version <= beats.version
        WHERE beats.id = ANY($1)
        """
    ) { row throws(PostgresError) in
        let currency = try row.text(7)
        return BeatState(
            id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), isPublished: try row.bool(2), isDeleted: try row.bool(3),
            title: try row.text(4), creator: EntityID(rawValue: try row.uuid(5)), artistName: try row.text(6), currency: currency,
            price: try row.numericMinorUnitsOrNil(8, scale: Currency(code: currency)?.digits ?? 2), isFeatured: try row.bool(9),
            createdAt: Timestamp(microseconds: try row.timestampMicroseconds(10)),
            updatedAt: Timestamp(microseconds: try row.timestampMicroseconds(11)), staged: try row.jsonOrNil(12),
            contentVersion: try row.int64(14), next: try row.textOrNil(15), changes: try row.jsonOrNil(13),
            wasPublished: try row.bool(16))
    }

    /// The beats of `ids` that there are, as the copies are to show them.
    func states(_ ids: [EntityID]) async throws(Problem) -> [BeatState] {
        try await postgres.rows(Self.select, [.uuids(ids.map(\.rawValue))], as: .system, within: timeout)
    }

    private static let unstage = PostgresStatement<Void>(
        """
        DELETE FROM beat_content_staged WHERE beat_id IN (
            SELECT staged.beat_id
            FROM beat_content_staged AS staged JOIN unnest($1::uuid[], $2::bigint[]) AS shown (id, version) ON staged.beat_id = shown.id
            WHERE staged.version <= shown.version ORDER BY staged.beat_id FOR UPDATE OF staged)
        """)

    private func unstage(_ written: Written) async throws(Problem) {
        var ids: [UInt128] = []
        var versions: [Int64] = []
        // Behind a fence stands what somebody else has written, and removes from here.
        for (id, outcome) in written.outcomes where !written.fenced.contains(id) {
            guard case .shown(let version) = outcome else { continue }
            ids.append(id.rawValue)
            versions.append(version)
        }
        // Lost with the server, it is done with the next delivery: what ends this one is written after it, and lost with it.
        _ = try await postgres.rows(Self.unstage, [.uuids(ids), .int64s(versions)], as: .repeatable, within: timeout)
    }

    // MARK: MongoDB

    /// What became of writes.
    private struct Written: Sendable {
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        /// Those that stand behind a fence: what is there is of that version or a newer one, or of a version that Postgres has lost.
        var fenced: Set<EntityID> = []

        mutating func add(_ sent: Written) {
            outcomes.merge(sent.outcomes) { _, refused in refused }
            fenced.formUnion(sent.fenced)
        }
    }

    /// Looks at what was refused as not newer. What is there already is shown; what stands behind a version that Postgres has lost is
    /// written in a newer one.
    private func mended(_ first: Written) async throws(Problem) -> Written {
        var written = first
        // Whoever delivers the same beat may do the same at the same time.
        for _ in 0..<3 {
            var lost: [EntityID] = []
            for (id, standing) in try await standings(of: written.fenced) {
                switch standing {
                case .delivered: written.fenced.remove(id)
                case .older: break
                case .unknown(let version):
                    observer?.observe(.mismatch(kind: "different", place: "beats", id: id, isRedelivered: true))
                    try await overtake(id, version)
                    lost.append(id)
                }
            }
            guard !lost.isEmpty else { return written }
            let again = try await write(try await states(lost)).0
            written.fenced.subtract(lost)
            written.fenced.formUnion(again.fenced)
            written.outcomes.merge(again.outcomes) { $1 }
        }
        // The rows of the outbox stay, and are delivered anew.
        throw .unavailable(.mongo)
    }

    /// Returns what became of each, and in which primary's term.
    private func write(_ states: [BeatState]) async throws(Problem) -> (Written, MongoTerm?) {
        var contents: [EntityID: BeatContentDocument] = [:]
        var changes: [EntityID: [BeatChange]] = [:]
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        for state in states {
            guard let staged = state.staged else { continue }
            do {
                contents[state.id] = try BeatContentDocument(stagedJSON: staged)
                changes[state.id] = try state.history()
            } catch {
                outcomes[state.id] = .refused(reason: "staged_content_malformed")
            }
        }
        let writable = states.filter { outcomes[$0.id] == nil }
        let (staged, history) = (contents, changes)
        let written = try await mongo.result(within: timeout) { session in
            try session.unsettled { session in
                let listed = try Self.write(history, session)
                var written = try Self.write(writable, staged, session)
                written.add(listed)
                return written
            }
        }
        return (
            Written(outcomes: outcomes.merging(written.value.outcomes) { refused, _ in refused }, fenced: written.value.fenced),
            written.term
        )
    }

    /// Appends to the version history; answers the beats whose entries MongoDB refused, or had.
    private static func write(
        _ changes: [EntityID: [BeatChange]], _ session: borrowing MongoSession
    ) throws -> Written {
        let beats = changes.flatMap { id, changes in changes.map { _ in id } }
        guard !beats.isEmpty else { return Written() }
        let sent = try send(changes.flatMap { BeatHistory.appends($1, to: $0) }, of: beats, to: "beat_versions", session)
        crash(at: .relayAfterHistory)
        return sent
    }

    /// Carries out fenced writes; answers the beats whose writes MongoDB refused, and those that stand behind the fence.
    ///
    /// A duplicate means that somebody else made the document meanwhile, and not yet that theirs is newer. Sent again, the write finds
    /// the document: what is then still a duplicate stands behind the fence.
    private static func send(
        _ writes: [MongoWrite], of beats: [EntityID], to collection: String, _ session: borrowing MongoSession
    ) throws -> Written {
        let first = try session.bulkWrite(collection, writes)
        let raced = first.failures.filter { $0.code == .duplicateKey || SearchIndex.wasExchanged($0.code) }.map(\.index)
        let again = try session.bulkWrite(collection, raced.map { writes[$0] })
        let settled = first.failures.filter { !SearchIndex.wasExchanged($0.code) }
        let racers = raced.map { beats[$0] }
        return Written(
            outcomes: refusals(settled, beats).merging(refusals(again.failures, racers)) { refused, _ in refused },
            fenced: Set(again.failures.filter { $0.code == .duplicateKey }.map { racers[$0.index] }))
    }

    private static func refusals(_ failures: [MongoBulkResult.Failure], _ beats: [EntityID]) -> [EntityID: ProjectionOutcome] {
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        for failure in failures where failure.code != .duplicateKey {
            outcomes[beats[failure.index]] = .refused(
                reason: "mongo_\(failure.code)".filter { $0.isLetter || $0.isNumber || $0 == "_" })
        }
        return outcomes
    }

    private static func write(
        _ states: [BeatState], _ staged: [EntityID: BeatContentDocument], _ session: borrowing MongoSession
    ) throws -> Written {
        let contentWrites = states.map { BeatDocuments.contentWrite($0, staged[$0.id]) }
        let facts = try facts(of: states, staged, session)
        var written = Written(outcomes: Dictionary(minimumCapacity: states.count))
        for state in states { written.outcomes[state.id] = .shown(version: state.version) }
        let beats = states.map(\.id)
        written.add(try send(contentWrites, of: beats, to: "beats", session))
        crash(at: .relayBetweenContentAndIndex)
        // The other way round, a row could be written to an index that is exchanged before its turn comes.
        if let next = states.first?.next { written.add(try index(states, facts, in: next, session)) }
        written.add(try index(states, facts, in: SearchIndex.collection, session))
        return written
    }

    /// Writes rows of an index; answers as `send` does.
    private static func index(
        _ states: [BeatState], _ facts: [EntityID: SearchFacts], in collection: String, _ session: borrowing MongoSession
    ) throws -> Written {
        let states = try listed(states, in: collection, session)
        let writes = states.map { BeatDocuments.indexWrite($0, facts[$0.id] ?? SearchFacts()) }
        return try send(writes, of: states.map(\.id), to: collection, session)
    }

    /// Leaves out beats that were never published and have no row. They need no tombstone: no late delivery has a row of theirs to write,
    /// as what it has read is an older version, and that was not published either. Where one has a row all the same, Postgres has lost the
    /// version that was, or an older gateway has left a tombstone.
    private static func listed(_ states: [BeatState], in collection: String, _ session: borrowing MongoSession) throws -> [BeatState] {
        let unlisted = states.filter { !$0.wasPublished }.map { BSONValue.uuid($0.id.rawValue) }
        guard !unlisted.isEmpty else { return states }
        let found = try SearchIndex.read(session) { session in
            var found: Set<EntityID> = []
            try session.find(collection, ["_id": ["$in": .array(unlisted)]], projection: ["_id": 1]) { row in
                found.insert(EntityID(rawValue: try row.uuid("_id")))
            }
            return found
        }
        return states.filter { $0.wasPublished || found.contains($0.id) }
    }

    /// What rows of the index take from content; a tombstone takes nothing.
    private static func facts(
        of states: [BeatState], _ staged: [EntityID: BeatContentDocument], _ session: borrowing MongoSession
    ) throws -> [EntityID: SearchFacts] {
        var known = staged.mapValues { SearchFacts($0) }
        let unstaged = states.filter { staged[$0.id] == nil && $0.isPublished }.map { BSONValue.uuid($0.id.rawValue) }
        if !unstaged.isEmpty {
            try session.find("beats", ["_id": ["$in": .array(unstaged)]], projection: SearchFacts.projection) { document in
                known[EntityID(rawValue: try document.uuid("_id"))] = SearchFacts(document)
            }
        }
        return known
    }

    /// Writes the rows of `states` to an index that is being filled, made as a delivery makes them. Returns the beats whose rows MongoDB
    /// refused. Throws `storeUnavailable` or `overloaded`.
    func fill(_ collection: String, with states: [BeatState]) async throws(Problem) -> [EntityID] {
        var staged: [EntityID: BeatContentDocument] = [:]
        for state in states {
            // What cannot be read is a dead letter, or will be: until that is mended, the content that MongoDB has counts.
            if let text = state.staged, let content = try? BeatContentDocument(stagedJSON: text) { staged[state.id] = content }
        }
        let known = staged
        return try await mongo.result(within: timeout) { session in
            Array(try Self.index(states, try Self.facts(of: states, known, session), in: collection, session).outcomes.keys)
        }
    }
}
