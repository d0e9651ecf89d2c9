import Contract
import DataPlane
import MongoClient

/// What a rebuild of the search index does in MongoDB, besides writing rows.
struct SearchRebuildCollections: Sendable {
    let mongo: MongoAccess
    private let timeout = Duration.seconds(30)

    init(mongo: MongoAccess) { self.mongo = mongo }

    private static let anyNext: BSONDocument = ["name": ["$regex": .string("^" + SearchIndex.nextPrefix)]]

    /// Whether there is any, of a rebuild that is running or of one that is not.
    func isAnyNext() async throws(Problem) -> Bool {
        try await mongo.result(within: timeout) { session in try !Self.list(Self.anyNext, session).isEmpty }
    }

    /// Drops whatever rebuilds have left, and what late deliveries have made of their names.
    func dropAllNext() async throws(Problem) {
        try await mongo.result(within: timeout) { session in
            for entry in try Self.list(Self.anyNext, session) { _ = try session.writeCommand(["drop": .string(entry.name)]) }
        }
    }

    /// Drops one of them; one that is not there is no mistake.
    func drop(_ next: String) async throws(Problem) {
        try await mongo.result(within: timeout) { session in
            for entry in try Self.list(["name": .string(next)], session) { _ = try session.writeCommand(["drop": .string(entry.name)]) }
        }
    }

    /// MongoDB's own id of a collection: another one that is made under its name later has another. Nil where there is none.
    func identity(of collection: String) async throws(Problem) -> UInt128? {
        try await mongo.result(within: timeout) { session in
            try Self.list(["name": .string(collection)], session).first?.identity
        }
    }

    /// Copies rows as they are, those that are not there already: of beats whose new ones MongoDB refuses.
    func copyRows(of beats: [EntityID], to next: String) async throws(Problem) {
        try await mongo.result(within: timeout) { session in
            let pipeline: [BSONDocument] = [
                ["$match": ["_id": ["$in": .array(beats.map { .uuid($0.rawValue) })]]],
                ["$merge": ["into": .string(next), "whenMatched": "keepExisting"]],
            ]
            try session.aggregate(SearchIndex.collection, pipeline) { _ in }
        }
    }

    /// Copies what is counted in the index and nowhere else, `page` rows at a time. What is counted between this and the exchange is there
    /// again with the next count.
    func carryCounters(to next: String, page: Int64 = 2000) async throws(Problem) {
        var last = EntityID(rawValue: 0)
        while let end = try await carryCounters(to: next, after: last, page) { last = end }
    }

    /// Those of one page; returns the last id of it, and nil after the last one.
    private func carryCounters(to next: String, after last: EntityID, _ page: Int64) async throws(Problem) -> EntityID? {
        try await mongo.result(within: timeout) { session in
            var found: EntityID?
            let rest: BSONDocument = ["_id": ["$gt": .uuid(last.rawValue)]]
            try session.find(SearchIndex.collection, rest, projection: ["_id": 1], sort: ["_id": 1], limit: page) {
                found = EntityID(rawValue: try $0.uuid("_id"))
            }
            guard let end = found else { return nil }
            let pipeline: [BSONDocument] = [
                ["$match": ["_id": ["$gt": .uuid(last.rawValue), "$lte": .uuid(end.rawValue)], "popularity": ["$gt": .double(0)]]],
                ["$project": ["popularity": 1]],
                ["$merge": ["into": .string(next), "whenMatched": "merge", "whenNotMatched": "discard"]],
            ]
            try session.aggregate(SearchIndex.collection, pipeline) { _ in }
            return end
        }
    }

    /// Puts the collection of this identity in the index's place and drops the one that was there: one step, before which every reader
    /// finds the old one and after which every reader finds the new one. Where the answer is lost, looks what has become of it.
    func exchange(_ next: String, _ identity: UInt128) async throws(Problem) {
        try await mongo.result(within: timeout) { session in
            let command: BSONDocument = [
                "renameCollection": .string("\(session.database).\(next)"), "to": .string("\(session.database).\(SearchIndex.collection)"),
                "dropTarget": true, "collectionUUID": .uuid(identity),
            ]
            do { _ = try session.writeCommand(command, database: "admin") } catch {
                guard try Self.list(["name": .string(SearchIndex.collection)], session).first?.identity == identity else { throw error }
            }
        }
    }

    private static func list(
        _ filter: BSONDocument, _ session: borrowing MongoSession
    ) throws(MongoError) -> [(name: String, identity: UInt128?)] {
        let reply = try session.command(["listCollections": 1, "filter": .document(filter), "cursor": ["batchSize": 1000]])
        var found: [(name: String, identity: UInt128?)] = []
        reply.withView { reply in
            _ = reply.withField("cursor.firstBatch") { batch in
                batch.withDocument { entries in
                    entries.forEach { entry in
                        _ = entry.withDocument { if let name = $0.stringOrNil("name") { found.append((name, $0.uuidOrNil("info.uuid"))) } }
                    }
                }
            }
        }
        return found
    }
}
