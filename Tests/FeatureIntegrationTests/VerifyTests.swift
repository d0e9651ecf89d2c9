import Contract
import DataPlane
import MongoClient
import TestSupport
import Testing

@testable import Beats

/// Copies that are not what Postgres says are found, each of them and no other, and set right.
@Suite("Verifying copies", .timeLimit(.minutes(3)))
struct VerifyTests {
    private static func mismatches(_ stack: Stack) async throws -> Set<BeatMismatch> {
        let found = Recording()
        try await verifier(stack).run { mismatch throws(Problem) in await found.add(mismatch) }
        return await found.mismatches
    }

    private actor Recording {
        var mismatches: Set<BeatMismatch> = []
        func add(_ mismatch: BeatMismatch) { mismatches.insert(mismatch) }
    }

    private static func verifier(_ stack: Stack) -> BeatVerifier {
        BeatVerifier(
            postgres: PostgresAccess(stack.postgres, observer: stack.recorder), mongo: MongoAccess(stack.mongo, observer: stack.recorder))
    }

    /// Published beats of one creator, delivered a while ago.
    private static func beats(_ stack: Stack, _ count: Int) async throws -> [EntityID] {
        let creator = EntityID.now
        let ids = (0..<count).map { _ in EntityID.now }
        try await stack.owner.run("INSERT INTO users (id, username) VALUES ('\(creator)', 'maker')")
        for id in ids {
            try await stack.owner.run(
                """
                INSERT INTO beats (id, creator_id, title, status, published_at, updated_at)
                VALUES ('\(id)', '\(creator)', 'Beat', 'published', now(), now() - interval '1 hour');
                INSERT INTO beat_content_staged (beat_id, version, content) VALUES ('\(id)', 1, '{"metadata":{"bpm":99,"genre":"Soul"}}');
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(id)', 1, 'upsert')
                """)
        }
        try await stack.relay().drain(within: .seconds(20))
        return ids
    }

    @Test("What was damaged is named, all of it and nothing else, and is whole again after a repair")
    func damage() async throws {
        try await Stack.use { stack in
            let ids = try await Self.beats(stack, 12)
            #expect(try await Self.mismatches(stack) == [])

            let orphan = EntityID.now
            try await stack.mongo.run(deadline: Stack.soon) { session in
                try session.deleteMany("search_index", ["_id": .uuid(ids[0].rawValue)])
                try session.deleteMany("beats", ["_id": .uuid(ids[1].rawValue)])
                try session.bulkWrite(
                    "search_index",
                    [
                        .updateOne(filter: ["_id": .uuid(ids[2].rawValue)], update: ["$set": ["title": "Another"]]),
                        .updateOne(filter: ["_id": .uuid(ids[3].rawValue)], update: ["$set": ["bpm": 140]]),
                        .updateOne(filter: ["_id": .uuid(ids[4].rawValue)], update: ["$set": ["v": .int64(9)]]),
                    ])
                try session.bulkWrite("beats", [.insertOne(["_id": .uuid(orphan.rawValue), "v": .int64(1)])])
            }
            try await stack.owner.run("UPDATE beats SET version = 2 WHERE id = '\(ids[5])'")

            let found = try await Self.mismatches(stack)
            #expect(
                Set(found.map { "\($0.place.rawValue) \($0.id) \($0.kind.rawValue)" }) == [
                    "search_index \(ids[0]) missing",
                    "beats \(ids[1]) missing",
                    // Its row was made of the content that is gone.
                    "search_index \(ids[1]) different",
                    "search_index \(ids[2]) different",
                    "search_index \(ids[3]) different",
                    "search_index \(ids[4]) different",
                    "beats \(ids[5]) stale",
                    "search_index \(ids[5]) stale",
                    "beats \(orphan) orphan",
                ])

            for mismatch in found { try await Self.verifier(stack).repair(mismatch) }
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await Self.mismatches(stack) == [])
        }
    }

    @Test("What is still on its way is not wrong")
    func underWay() async throws {
        try await Stack.use { stack in
            let ids = try await Self.beats(stack, 2)
            try await stack.owner.run(
                """
                UPDATE beats SET version = 2, title = 'New' WHERE id = '\(ids[0])';
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(ids[0])', 2, 'upsert');
                UPDATE beats SET version = 2, updated_at = now() WHERE id = '\(ids[1])'
                """)
            #expect(try await Self.mismatches(stack) == [])
        }
    }
}
