import Contract
import DataPlane
import MongoClient
import Schema
import TestSupport

@testable import Beats

/// What tests of a rebuilt search index stand on.
extension Stack {
    var postgresAccess: PostgresAccess { PostgresAccess(postgres, observer: recorder) }
    var mongoAccess: MongoAccess { MongoAccess(mongo, observer: recorder) }

    /// `before` is done with each new collection before anything is written to it.
    func rebuild(before: @escaping @Sendable (String) async throws(Problem) -> Void = { _ in }) throws -> SearchRebuild {
        let copy = try CollectionCopy(of: "search_index", directory: "\(Stack.root)/mongo")
        let mongo = mongoAccess
        return SearchRebuild(postgres: postgresAccess, mongo: mongo, observer: recorder) { name throws(Problem) in
            try await mongo.result(within: .seconds(60)) { try copy.make(name, in: $0) }
            try await before(name)
        }
    }

    /// Beats of one creator with their content, delivered: `published` of them for everybody, `drafts` for nobody.
    func makeCatalogue(published: Int, drafts: Int) async throws -> (published: [EntityID], drafts: [EntityID]) {
        let creator = EntityID.now
        let ids = (0..<published + drafts).map { _ in EntityID.now }
        let rows = ids.enumerated().map { number, id in
            number < published
                ? "('\(id)', '\(creator)', 'Beat \(number)', 'published', now())" : "('\(id)', '\(creator)', 'Draft', 'draft', NULL)"
        }
        try await owner.run(
            """
            INSERT INTO users (id, username) VALUES ('\(creator)', 'maker');
            INSERT INTO beats (id, creator_id, title, status, published_at) VALUES \(rows.joined(separator: ","));
            INSERT INTO beat_content_staged (beat_id, version, content) SELECT id, 1, '{"metadata": {"bpm": 99, "genre": "Soul"}}' FROM beats;
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, 1, 'upsert' FROM beats
            """)
        try await relay().drain(within: .seconds(60))
        return (Array(ids[..<published]), Array(ids[published...]))
    }

    /// What is left of rebuilds in either database.
    func leftovers() async throws -> [String] {
        let collections = try await mongo.run(deadline: Self.soon) { session in
            var names: [String] = []
            let reply = try session.command(["listCollections": 1, "nameOnly": true, "cursor": ["batchSize": 1000]])
            reply.withView { reply in
                _ = reply.withField("cursor.firstBatch") { batch in
                    batch.withDocument { entries in
                        entries.forEach { entry in _ = entry.withDocument { names.append($0.stringOrNil("name") ?? "") } }
                    }
                }
            }
            return names.filter { $0.hasPrefix("search_index_") }
        }
        return try await texts("SELECT collection FROM index_rebuilds") + collections
    }

    func mismatches() async throws -> [BeatMismatch] {
        var found: [BeatMismatch] = []
        try await BeatVerifier(postgres: postgresAccess, mongo: mongoAccess).run { mismatch throws(Problem) in found.append(mismatch) }
        return found
    }
}
