import Contract
import DataPlane
import MongoClient
import PostgresClient
import TestSupport
import Testing

@testable import Beats

/// Gateways compare the copies from time to time, one for all.
@Suite("Comparing copies on a schedule", .timeLimit(.minutes(5)))
struct ScheduledVerifyTests {
    private static func schedule(_ stack: Stack, _ recorder: Recorder? = nil) throws -> BeatVerifySchedule {
        BeatVerifySchedule(
            verifier: BeatVerifier(postgres: stack.postgresAccess, mongo: stack.mongoAccess), rebuild: try stack.rebuild(),
            postgres: stack.postgresAccess, interval: .seconds(3600), pause: .milliseconds(1), observer: recorder ?? stack.recorder)
    }

    private static func mismatches(_ recorder: Recorder) -> [String] {
        recorder.all.compactMap { observation in
            guard case .mismatch(let kind, let place, let id, let isRedelivered) = observation else { return nil }
            return "\(place) \(id) \(kind) \(isRedelivered ? "redelivered" : "left")"
        }.sorted()
    }

    /// As if the last run had been two hours ago.
    private static func letTimePass(_ stack: Stack) async throws {
        try await stack.owner.run("UPDATE verifications SET begun_at = begun_at - interval '2 hours'")
    }

    @Test("Of many gateways one runs when a run is due, and none when it is not")
    func election() async throws {
        try await Stack.use { stack in
            _ = try await stack.makeCatalogue(published: 5, drafts: 0)
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 minute'")
            let schedules = try (0..<6).map { _ in try Self.schedule(stack) }
            func run() async throws -> Int {
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for schedule in schedules { group.addTask { try await schedule.runIfDue() } }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
            }
            #expect(try await run() == 1)
            #expect(try await run() == 0)
            #expect(schedules.allSatisfy { $0.lastRun?.compared == 5 && $0.lastRun?.mismatches == 0 })
            try await Self.letTimePass(stack)
            #expect(try await run() == 1)
        }
    }

    @Test("What a delivery can mend is delivered once more and counted; nothing is taken away, and no loss accepted")
    func redelivery() async throws {
        try await Stack.use { stack in
            let beats = try await stack.makeCatalogue(published: 4, drafts: 0).published
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 minute'")
            let orphan = EntityID.now
            try await stack.mongo.run(deadline: Stack.soon) { session in
                try session.deleteMany("search_index", ["_id": .uuid(beats[0].rawValue)])
                try session.updateOne("search_index", ["_id": .uuid(beats[1].rawValue)], ["$set": ["title": "Another"]])
                try session.deleteMany("beats", ["_id": .uuid(beats[2].rawValue)])
                try session.bulkWrite("beats", [.insertOne(["_id": .uuid(orphan.rawValue), "v": 1])])
            }
            let recorder = Recorder()
            let schedule = try Self.schedule(stack, recorder)
            #expect(try await schedule.runIfDue())
            #expect(
                Self.mismatches(recorder)
                    == [
                        "search_index \(beats[0]) missing redelivered", "search_index \(beats[1]) different redelivered",
                        "beats \(beats[2]) missing redelivered", "search_index \(beats[2]) different left",
                        "beats \(orphan) orphan left",
                    ].sorted())
            #expect(schedule.lastRun?.mismatches == 5)
            try await stack.relay().drain(within: .seconds(20))
            let rest = try await stack.mismatches().map { "\($0.place.rawValue) \($0.id) \($0.kind.rawValue)" }.sorted()
            // The row of the index was made of what is lost.
            #expect(
                rest
                    == [
                        "beats \(beats[2]) missing", "search_index \(beats[2]) different", "beats \(orphan) orphan",
                    ].sorted())
            // Only what its fence would have kept out has a new version.
            #expect(try await stack.texts("SELECT id::text FROM beats WHERE version > 1") == [beats[1].description])
        }
    }

    @Test("A run looks at what was changed since the last one began, and once a day at everything")
    func extent() async throws {
        try await Stack.use { stack in
            let beats = try await stack.makeCatalogue(published: 6, drafts: 0).published
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 day'")
            let schedule = try Self.schedule(stack)
            #expect(try await schedule.runIfDue())
            #expect(schedule.lastRun?.compared == 6)
            try await stack.mongo.run(deadline: Stack.soon) { session in
                for beat in beats[..<2] { try session.deleteMany("search_index", ["_id": .uuid(beat.rawValue)]) }
            }
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 minute' WHERE id = '\(beats[0])'")
            try await Self.letTimePass(stack)
            #expect(try await schedule.runIfDue())
            #expect(schedule.lastRun?.compared == 1)
            #expect(schedule.lastRun?.mismatches == 1)
            try await stack.owner.run(
                "UPDATE verifications SET begun_at = begun_at - interval '2 hours', complete_begun_at = now() - interval '25 hours'")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await schedule.runIfDue())
            #expect(schedule.lastRun?.compared == 6)
            #expect(schedule.lastRun?.mismatches == 1)
        }
    }

    @Test("Whatever clock a gateway has, runs are due by the one that dates beats, and pass no change over")
    func clocks() async throws {
        try await Stack.use { stack in
            let beats = try await stack.makeCatalogue(published: 4, drafts: 0).published
            let yesterday = "now() - interval '1 day'"
            try await stack.owner.run(
                """
                DROP SCHEMA IF EXISTS clock CASCADE;
                CREATE SCHEMA clock;
                GRANT USAGE ON SCHEMA clock TO PUBLIC;
                CREATE FUNCTION clock.now() RETURNS timestamptz STABLE LANGUAGE sql AS $$ SELECT pg_catalog.now() - interval '1 day' $$;
                UPDATE beats SET updated_at = \(yesterday) - interval '1 day'
                """)
            // A Postgres whose clock is a day behind this process's.
            var server = stack.server
            server.serverOptions += " -c search_path=clock,pg_catalog,public"
            let client = PostgresClient(server, reactor: Stack.reactor)
            let postgres = PostgresAccess(client, observer: stack.recorder)
            let schedule = BeatVerifySchedule(
                verifier: BeatVerifier(postgres: postgres, mongo: stack.mongoAccess), rebuild: try stack.rebuild(), postgres: postgres,
                interval: .seconds(3600), pause: .milliseconds(1), observer: stack.recorder)
            #expect(try await schedule.runIfDue())
            #expect(try await stack.count("verifications WHERE begun_at BETWEEN \(yesterday) - interval '1 minute' AND \(yesterday)") == 1)
            #expect(try await !schedule.runIfDue())
            try await stack.owner.run("UPDATE beats SET updated_at = \(yesterday) - interval '10 seconds' WHERE id = '\(beats[0])'")
            try await Self.letTimePass(stack)
            #expect(try await schedule.runIfDue())
            #expect(schedule.lastRun?.compared == 1)
            await client.shutdown()
            try await stack.owner.run("DROP SCHEMA clock CASCADE")
        }
    }

    @Test("A run takes away what a rebuild that was killed has left")
    func abandonedRebuild() async throws {
        try await Stack.use { stack in
            try await stack.owner.run(
                "INSERT INTO index_rebuilds (index_name, collection) VALUES ('search_index', 'search_index_next_dead')")
            try await stack.mongo.run(deadline: Stack.soon) { try $0.bulkWrite("search_index_next_dead", [.insertOne(["_id": 1])]) }
            #expect(try await Self.schedule(stack).runIfDue())
            #expect(try await stack.leftovers() == [])
        }
    }
}
