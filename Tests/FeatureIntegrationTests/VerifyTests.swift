import Contract
import DataPlane
import MongoClient
import RedisClient
import TestSupport
import Testing

@testable import Beats
@testable import DataPlane

/// Copies that are not what Postgres says are found, each of them and no other, and set right.
@Suite("Verifying copies", .timeLimit(.minutes(5)))
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

    @Test("A row of the index that was made by an older rule for keys is found, and a rebuild mends it")
    func olderKeys() async throws {
        try await Stack.use { stack in
            let ids = try await Self.beats(stack, 3)
            try await stack.change(ids[0], "content_version = version + 1", content: #"{"metadata": {"genre": "Café", "mood": "Σίσυφος"}}"#)
            try await stack.relay().drain(within: .seconds(20))
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 hour'")
            #expect(try await Self.mismatches(stack) == [])
            for old: BSONDocument in [["genreKey": "cafe\u{301}"], ["moodKey": "σίσυφος"]] {
                _ = try await stack.mongo.run(deadline: Stack.soon) { session in
                    try session.bulkWrite(
                        "search_index", [.updateOne(filter: ["_id": .uuid(ids[0].rawValue)], update: ["$set": .document(old)])])
                }
                #expect(
                    try await Self.mismatches(stack).map { "\($0.place.rawValue) \($0.id) \($0.kind.rawValue)" } == [
                        "search_index \(ids[0]) different"
                    ])
                _ = try await stack.rebuild().run()
                #expect(try await Self.mismatches(stack) == [])
            }
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

    @Test("Content that is lost, or of the past, is found: no delivery makes it look new, and a repair gives up what is gone and no more")
    func lostContent() async throws {
        try await Stack.use { stack in
            let ids = try await Self.beats(stack, 3)
            try await stack.change(
                ids[0], "title = 'New', content_version = version + 1", content: #"{"metadata":{"bpm":120,"mood":"Calm"}}"#)
            try await stack.relay().drain(within: .seconds(20))
            try await stack.mongo.run(deadline: Stack.soon) { session in
                // As a backup of yesterday has it.
                let past: BSONDocument = ["v": 1, "metadata": ["bpm": 99, "genre": "Soul"]]
                try session.replaceOne("beats", ["_id": .uuid(ids[0].rawValue)], past)
                try session.deleteMany("beats", ["_id": .uuid(ids[1].rawValue)])
            }
            for id in ids {
                try await stack.change(id, "description = 'Slow'")
                try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 hour'")
            }
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.version("beats", of: ids[0]) == 1)
            #expect(try await stack.version("beats", of: ids[1]) == nil)
            let found = try await Self.mismatches(stack).filter { $0.place == .beats }
            #expect(Set(found.map { "\($0.id) \($0.kind.rawValue)" }) == ["\(ids[0]) stale", "\(ids[1]) missing"])

            for mismatch in found { try await Self.verifier(stack).repair(mismatch) }
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 hour'")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await Self.mismatches(stack) == [])
            #expect(try await stack.mongoCount("beats", ["_id": .uuid(ids[0].rawValue), "metadata.genre": "Soul"]) == 1)
        }
    }

    @Test("A tombstone that has gone is no loss, and a row of the outbox that is replayed after it brings nothing back")
    func expiredTombstone() async throws {
        try await Stack.use { stack in
            let ids = try await Self.beats(stack, 2)
            try await stack.change(ids[0], "status = 'archived', deleted_at = now()")
            try await stack.change(ids[1], "status = 'draft'")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.mongoCount("search_index", ["deleted": true]) == 2)
            try await stack.mongo.run(deadline: Stack.soon) { _ = try $0.deleteMany("search_index", ["deleted": true]) }
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '40 days'")
            #expect(try await Self.mismatches(stack) == [])

            for id in ids {
                try await stack.owner.run(
                    "INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(id)', 1, 'upsert')")
            }
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.mongoCount("search_index", ["title": ["$exists": true]]) == 0)
            #expect(try await stack.mongoCount("beats", ["_id": .uuid(ids[0].rawValue), "deleted": true, "metadata.bpm": 99]) == 1)
            #expect(try await Self.mismatches(stack) == [])
        }
    }

    @Test("Bodies of the cache that are not what a reader should get are found among those that are, and gone after a repair")
    func cached() async throws {
        try await Stack.use { stack in
            let ids = try await Self.beats(stack, 6)
            let generation = try await CacheGenerationStore(postgres: stack.postgresAccess).current().number
            func put(_ body: CachedBody, _ id: EntityID, _ representation: Representation) async throws {
                let command = RedisCommand("SET", .text(representation.sharedKey(id, generation)), .bytes(SharedEntry.encode(body)))
                _ = try await stack.redis.send(command, deadline: Stack.soon)
            }
            let cores = BeatCoreStore(postgres: stack.postgresAccess, timeout: .seconds(5))
            let contents = BeatContentStore(mongo: stack.mongoAccess, timeout: .seconds(5))
            for (representation, detail) in [(BeatService.detail, BeatDetail.full), (BeatService.summary, .summary)] {
                for (id, body) in try await BeatService.load(ids, detail, cores, contents) { try await put(body, id, representation) }
            }
            try await stack.mongo.run(deadline: Stack.soon) { session in
                // Counters go on while a body is cached.
                try session.bulkWrite("beat_analytics", [.insertOne(["_id": .uuid(ids[0].rawValue), "plays": 9])])
            }
            let sampler = CacheSampler(redis: stack.redis, postgres: stack.postgresAccess, representations: BeatVerifier.cached)
            let verifier = BeatVerifier(postgres: stack.postgresAccess, mongo: stack.mongoAccess, sampler: sampler)
            let recording = Recording()
            let extent = try await verifier.run { mismatch throws(Problem) in await recording.add(mismatch) }
            #expect(extent.samples == 12)
            #expect(await recording.mismatches == [])

            try await put(.absent, ids[1], BeatService.detail)
            try await put(CachedBody(version: 1, json: Array("{\"title\":\"Another\"}".utf8)), ids[2], BeatService.summary)
            // Changed, and no cache was told.
            try await stack.owner.run(
                """
                UPDATE beats SET version = 2, title = 'New' WHERE id = '\(ids[3])';
                UPDATE beats SET version = 2, status = 'draft' WHERE id = '\(ids[4])'
                """)
            let projector = BeatProjector(postgres: stack.postgresAccess, mongo: stack.mongoAccess)
            _ = try await projector.project([ids[3], ids[4]])
            let stranger = EntityID.now
            try await put(CachedBody(version: 1, json: Array("{}".utf8)), stranger, BeatService.detail)

            try await verifier.run { mismatch throws(Problem) in await recording.add(mismatch) }
            let found = await recording.mismatches
            #expect(
                Set(found.map { "\($0.place.rawValue) \($0.id) \($0.kind.rawValue)" }) == [
                    "cache \(ids[1]) missing", "cache \(ids[2]) different", "cache \(ids[3]) stale", "cache \(ids[4]) orphan",
                    "cache \(stranger) orphan",
                ])
            for mismatch in found { try await verifier.repair(mismatch) }
            let relay = stack.relay()
            try await relay.drain(within: .seconds(20))
            let again = Recording()
            try await verifier.run { mismatch throws(Problem) in await again.add(mismatch) }
            #expect(await again.mismatches == [])
        }
    }
}
