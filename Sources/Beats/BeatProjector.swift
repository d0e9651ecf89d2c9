import Contract
import CrashPoints
import DataPlane
import Foundation
import JSON
import MongoClient
import PostgresClient

/// Brings a beat's content document and its row of the search index up to the version that Postgres has.
///
/// Content that was staged with the version is written as it stands; a version that changed only the core keeps the content that is
/// there. Both writes stand behind the fence `v < version`. Staged content goes once MongoDB has acknowledged its version.
public struct BeatProjector: Projector {
    public let kind = Announcement.Kind.beat
    private let postgres: PostgresAccess
    private let mongo: MongoAccess
    private let timeout = Duration.seconds(10)

    public init(postgres: PostgresAccess, mongo: MongoAccess) {
        self.postgres = postgres
        self.mongo = mongo
    }

    public func project(_ ids: [EntityID]) async throws(Problem) -> [EntityID: ProjectionOutcome] {
        let states = try await states(ids)
        crash(at: .relayAfterReadingState)
        let written = try await write(states)
        crash(at: .relayAfterMongo)
        try await unstage(written)
        crash(at: .relayAfterUnstaging)
        // Beats are marked, never deleted: an id that Postgres does not know will not turn up later.
        return Dictionary(ids.map { ($0, .refused(reason: "unknown_beat")) }) { first, _ in first }.merging(written) { $1 }
    }

    // MARK: Postgres

    /// A beat as Postgres has it now, in one snapshot with its staged content.
    struct State: Sendable {
        let id: EntityID
        let version: Int64
        let isPublished: Bool
        let isDeleted: Bool
        let title: String
        let creator: EntityID
        let artistName: String
        let currency: String
        let price: Int64?
        let isFeatured: Bool
        let createdAt: Timestamp
        let updatedAt: Timestamp
        let staged: String?
        /// What the version history has not got yet, as it is staged.
        var changes: String?
    }

    private static let select = PostgresStatement<State>(
        """
        SELECT beats.id, beats.version, beats.status = 'published' AND users.status = 'active', beats.deleted_at IS NOT NULL,
               beats.title, beats.creator_id, coalesce(users.display_name, users.username), beats.currency, beats.price,
               beats.is_featured, beats.created_at, beats.updated_at, staged.content, staged.changes
        FROM beats JOIN users ON users.id = beats.creator_id
             LEFT JOIN beat_content_staged AS staged ON staged.beat_id = beats.id AND staged.version <= beats.version
        WHERE beats.id = ANY($1)
        """
    ) { row throws(PostgresError) in
        let currency = try row.text(7)
        return State(
            id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), isPublished: try row.bool(2), isDeleted: try row.bool(3),
            title: try row.text(4), creator: EntityID(rawValue: try row.uuid(5)), artistName: try row.text(6), currency: currency,
            price: try row.numericMinorUnitsOrNil(8, scale: Currency(code: currency)?.digits ?? 2), isFeatured: try row.bool(9),
            createdAt: Timestamp(microseconds: try row.timestampMicroseconds(10)),
            updatedAt: Timestamp(microseconds: try row.timestampMicroseconds(11)), staged: try row.jsonOrNil(12),
            changes: try row.jsonOrNil(13))
    }

    /// The beats of `ids` that there are, as the copies are to show them.
    func states(_ ids: [EntityID]) async throws(Problem) -> [State] {
        try await postgres.rows(Self.select, [.uuids(ids.map(\.rawValue))], as: .system, within: timeout)
    }

    private static let unstage = PostgresStatement<Void>(
        """
        DELETE FROM beat_content_staged WHERE beat_id IN (
            SELECT staged.beat_id
            FROM beat_content_staged AS staged JOIN unnest($1::uuid[], $2::bigint[]) AS shown (id, version) ON staged.beat_id = shown.id
            WHERE staged.version <= shown.version ORDER BY staged.beat_id FOR UPDATE OF staged)
        """)

    private func unstage(_ outcomes: [EntityID: ProjectionOutcome]) async throws(Problem) {
        var ids: [UInt128] = []
        var versions: [Int64] = []
        for (id, outcome) in outcomes {
            guard case .shown(let version) = outcome else { continue }
            ids.append(id.rawValue)
            versions.append(version)
        }
        _ = try await postgres.rows(Self.unstage, [.uuids(ids), .int64s(versions)], as: .system, within: timeout)
    }

    // MARK: MongoDB

    private func write(_ states: [State]) async throws(Problem) -> [EntityID: ProjectionOutcome] {
        var contents: [EntityID: BeatContentDocument] = [:]
        var changes: [EntityID: [BeatChange]] = [:]
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        for state in states {
            guard let staged = state.staged else { continue }
            do {
                contents[state.id] = try BeatContentDocument(stagedJSON: staged)
                changes[state.id] = try Self.decoder.decode([BeatChange].self, from: Data((state.changes ?? "[]").utf8))
            } catch {
                outcomes[state.id] = .refused(reason: "staged_content_malformed")
            }
        }
        let writable = states.filter { outcomes[$0.id] == nil }
        let (staged, history) = (contents, changes)
        let written = try await mongo.result(within: timeout) { session in
            try Self.write(history, session).merging(try Self.write(writable, staged, session)) { refused, _ in refused }
        }
        return outcomes.merging(written) { refused, _ in refused }
    }

    private static let decoder = JSONDecoder()

    /// Appends to the version history; answers the beats whose entries MongoDB refused.
    private static func write(
        _ changes: [EntityID: [BeatChange]], _ session: borrowing MongoSession
    ) throws -> [EntityID: ProjectionOutcome] {
        let beats = changes.flatMap { id, changes in changes.map { _ in id } }
        guard !beats.isEmpty else { return [:] }
        let refused = try send(changes.flatMap { BeatHistory.appends($1, to: $0) }, of: beats, to: "beat_versions", session)
        crash(at: .relayAfterHistory)
        return refused
    }

    /// Carries out fenced writes; answers the beats whose writes MongoDB refused.
    ///
    /// A duplicate means that somebody else made the document meanwhile, and not yet that theirs is newer. Sent again, the write finds
    /// the document: what is then still a duplicate stands behind the fence.
    private static func send(
        _ writes: [MongoWrite], of beats: [EntityID], to collection: String, _ session: borrowing MongoSession
    ) throws -> [EntityID: ProjectionOutcome] {
        let first = try session.bulkWrite(collection, writes)
        let raced = first.failures.filter { $0.code == .duplicateKey }.map(\.index)
        let again = try session.bulkWrite(collection, raced.map { writes[$0] })
        return refusals(first, beats).merging(refusals(again, raced.map { beats[$0] })) { refused, _ in refused }
    }

    private static func refusals(_ result: MongoBulkResult, _ beats: [EntityID]) -> [EntityID: ProjectionOutcome] {
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        for failure in result.failures where failure.code != .duplicateKey {
            outcomes[beats[failure.index]] = .refused(
                reason: "mongo_\(failure.code)".filter { $0.isLetter || $0.isNumber || $0 == "_" })
        }
        return outcomes
    }

    private static func write(
        _ states: [State], _ staged: [EntityID: BeatContentDocument], _ session: borrowing MongoSession
    ) throws -> [EntityID: ProjectionOutcome] {
        var known = staged.mapValues { SearchFacts($0) }
        let unstaged = states.filter { staged[$0.id] == nil && !$0.isDeleted }.map { BSONValue.uuid($0.id.rawValue) }
        if !unstaged.isEmpty {
            try session.find("beats", ["_id": ["$in": .array(unstaged)]], projection: SearchFacts.projection) { document in
                known[EntityID(rawValue: try document.uuid("_id"))] = SearchFacts(document)
            }
        }
        let contentWrites = states.map { BeatDocuments.contentWrite($0, staged[$0.id]) }
        let indexWrites = states.map { BeatDocuments.indexWrite($0, known[$0.id] ?? SearchFacts()) }
        var outcomes: [EntityID: ProjectionOutcome] = Dictionary(minimumCapacity: states.count)
        for state in states { outcomes[state.id] = .shown(version: state.version) }
        let beats = states.map(\.id)
        outcomes.merge(try send(contentWrites, of: beats, to: "beats", session)) { _, refused in refused }
        crash(at: .relayBetweenContentAndIndex)
        outcomes.merge(try send(indexWrites, of: beats, to: "search_index", session)) { _, refused in refused }
        return outcomes
    }
}

/// What the search index takes from a beat's content.
struct SearchFacts: Sendable, Equatable {
    static let projection: BSONDocument = [
        "metadata.bpm": 1, "metadata.key": 1, "metadata.genre": 1, "metadata.mood": 1, "metadata.tags": 1,
    ]

    var bpm: Double?
    var key: String?
    var genre: String?
    var mood: String?
    var tags: [String] = []

    init() {}

    init(_ content: BeatContentDocument) {
        bpm = content.metadata?.bpm
        key = content.metadata?.key
        genre = content.metadata?.genre
        mood = content.metadata?.mood
        tags = content.metadata?.tags ?? []
    }

    init(_ document: borrowing BSONView) {
        bpm = document.doubleOrNil("metadata.bpm")
        key = document.stringOrNil("metadata.key")
        genre = document.stringOrNil("metadata.genre")
        mood = document.stringOrNil("metadata.mood")
        var tags: [String] = []
        _ = document.withField("metadata.tags") { field in
            _ = field.withDocument { items in items.forEach { item in item.withUTF8 { tags.append(String(decoding: $0, as: UTF8.self)) } } }
        }
        self.tags = tags
    }
}

/// The documents that a beat's state becomes. Pure.
enum BeatDocuments {
    static func fence(_ state: BeatProjector.State) -> BSONDocument {
        ["_id": .uuid(state.id.rawValue), "v": ["$lt": .int64(state.version)]]
    }

    /// Keeps the fence while a late delivery of an older version may still come; MongoDB removes it after a month.
    static func tombstone(_ state: BeatProjector.State) -> BSONDocument {
        [
            "_id": .uuid(state.id.rawValue), "v": .int64(state.version), "deleted": true,
            "deletedAt": .date(milliseconds: state.updatedAt.milliseconds),
        ]
    }

    static func contentWrite(_ state: BeatProjector.State, _ content: BeatContentDocument?) -> MongoWrite {
        if state.isDeleted { return .replaceOne(filter: fence(state), tombstone(state), upsert: true) }
        guard let content else {
            return .updateOne(filter: fence(state), update: ["$set": ["v": .int64(state.version)]], upsert: true)
        }
        return put(state, document(state, content))
    }

    /// Writes unless a version not older is there: MongoDB then says `duplicateKey`. There is nothing older than a first version, and
    /// an insert costs less than an upsert.
    private static func put(_ state: BeatProjector.State, _ document: BSONDocument) -> MongoWrite {
        state.version == 1 ? .insertOne(document) : .replaceOne(filter: fence(state), document, upsert: true)
    }

    static func indexWrite(_ state: BeatProjector.State, _ facts: SearchFacts) -> MongoWrite {
        put(state, indexDocument(state, facts))
    }

    /// The row of the search index: of a beat that nobody may find, a tombstone.
    static func indexDocument(_ state: BeatProjector.State, _ facts: SearchFacts) -> BSONDocument {
        state.isPublished ? index(state, facts) : tombstone(state)
    }

    private static func document(_ state: BeatProjector.State, _ content: BeatContentDocument) -> BSONDocument {
        var document: BSONDocument = ["_id": .uuid(state.id.rawValue), "v": .int64(state.version)]
        if let metadata = content.metadata {
            var part: BSONDocument = [:]
            part.append("bpm", optional: metadata.bpm.map { .double($0) })
            part.append("key", optional: metadata.key.map { .string($0) })
            part.append("genre", optional: metadata.genre.map { .string($0) })
            part.append("mood", optional: metadata.mood.map { .string($0) })
            part.append("tags", optional: metadata.tags.map { .array($0.map { .string($0) }) })
            part.append("duration", optional: metadata.duration.map { .double($0) })
            part.append("album", optional: metadata.album.map { .string($0) })
            part.append("waveform", optional: metadata.waveform.map { .array($0.map { .int32(Int32(clamping: $0)) }) })
            document.append("metadata", .document(part))
        }
        if let audio = content.audio {
            var part: BSONDocument = [:]
            part.append("previewUrl", optional: audio.previewUrl.map { .string($0) })
            part.append("format", optional: audio.format.map { .string($0) })
            part.append("quality", optional: audio.quality.map { .string($0) })
            part.append("fileSize", optional: audio.fileSize.map { .int64($0) })
            part.append("originalId", optional: audio.originalId.flatMap { EntityID($0) }.map { .uuid($0.rawValue) })
            document.append("audio", .document(part))
        }
        if let artwork = content.artwork {
            var part: BSONDocument = [:]
            part.append("thumbnailUrl", optional: artwork.thumbnailUrl.map { .string($0) })
            part.append("fullUrl", optional: artwork.fullUrl.map { .string($0) })
            part.append("colors", optional: artwork.colors.map { .array($0.map { .string($0) }) })
            document.append("artwork", .document(part))
        }
        if let credits = content.collaborators { document.append("collaborators", .array(credits.map { .document(credit($0)) })) }
        return document
    }

    private static func credit(_ credit: BeatContentDocument.Credit) -> BSONDocument {
        var part: BSONDocument = [:]
        part.append("userId", optional: credit.userId.flatMap { EntityID($0) }.map { .uuid($0.rawValue) })
        part.append("role", optional: credit.role.map { .string($0) })
        part.append("creditedName", optional: credit.creditedName.map { .string($0) })
        return part
    }

    private static func index(_ state: BeatProjector.State, _ facts: SearchFacts) -> BSONDocument {
        var document: BSONDocument = [
            "_id": .uuid(state.id.rawValue), "v": .int64(state.version), "title": .string(state.title),
            "titleKey": .string(state.title.lowercased()), "artistName": .string(state.artistName),
            "creatorId": .uuid(state.creator.rawValue),
        ]
        document.append("genre", optional: facts.genre.map { .string($0) })
        document.append("genreKey", optional: facts.genre.map { .string($0.lowercased()) })
        document.append("mood", optional: facts.mood.map { .string($0) })
        document.append("moodKey", optional: facts.mood.map { .string($0.lowercased()) })
        if !facts.tags.isEmpty { document.append("tags", .array(facts.tags.map { .string($0.lowercased()) })) }
        document.append(
            "scored",
            [
                "title": .string(SearchWords.text(state.title)), "artist": .string(SearchWords.text(state.artistName)),
                "tags": .string(SearchWords.text(facts.tags.joined(separator: " "))), "genre": .string(SearchWords.text(facts.genre ?? "")),
            ])
        document.append(
            "words",
            .array(SearchWords.words(of: [state.title, state.artistName] + facts.tags + [facts.genre ?? ""]).map { .string($0) }))
        document.append("bpm", optional: facts.bpm.map { .double($0) })
        document.append("key", optional: facts.key.map { .string($0) })
        // Lists filter and sort by prices in one currency; a beat that is priced in another counts there as one without a price.
        if let price = state.price, state.currency == Currency.usd.code { document.append("price", .int64(price)) }
        document.append("createdAt", .date(milliseconds: state.createdAt.milliseconds))
        document.append("isFeatured", .bool(state.isFeatured))
        document.append("popularity", .double(0))
        return document
    }
}

extension BSONDocument {
    fileprivate mutating func append(_ key: String, optional value: BSONValue?) {
        if let value { append(key, value) }
    }
}
