import Contract
import Foundation
import MongoClient
import PostgresClient
import RedisClient
import Synchronization
import TestSupport
import Testing

@testable import Beats
@testable import DataPlane

extension Stack {
    /// Makes a published beat at version 1, its content staged and its outbox row written, as a transaction of the gateway would.
    func makeBeat(_ number: Int, content: String? = nil) async throws -> EntityID {
        let (beat, user) = (EntityID.make(milliseconds: 1_700_000_000_000), EntityID.make(milliseconds: 1_700_000_000_000))
        let content = content ?? #"{"metadata": {"bpm": \#(100 + number % 100)}}"#
        try await owner.run(
            """
            INSERT INTO users (id, username) VALUES ('\(user)', 'u-\(number)');
            INSERT INTO beats (id, creator_id, title, status, published_at) VALUES ('\(beat)', '\(user)', 'Beat \(number)', 'published', now());
            INSERT INTO beat_content_staged (beat_id, version, content) VALUES ('\(beat)', 1, '\(content)');
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(beat)', 1, 'upsert')
            """)
        return beat
    }

    /// Changes a beat's columns, and its content if there is any, in one transaction with its outbox row.
    func change(_ beat: EntityID, _ assignments: String, content: String? = nil) async throws {
        let staging = content.map { content in
            """
            INSERT INTO beat_content_staged (beat_id, version, content) SELECT id, version, '\(content)' FROM beats WHERE id = '\(beat)'
            ON CONFLICT (beat_id) DO UPDATE SET version = excluded.version, content = excluded.content;
            """
        }
        try await owner.run(
            """
            UPDATE beats SET version = version + 1, updated_at = now(), \(assignments) WHERE id = '\(beat)';
            \(staging ?? "")
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
            SELECT 'beat', id, version, 'upsert' FROM beats WHERE id = '\(beat)'
            """)
    }

    /// Sets back every wait in the outbox, so that a test need not wait.
    func makeDue() async throws {
        try await owner.run("UPDATE outbox SET next_at = now() - interval '1 second' WHERE state = 'pending'")
    }

    func outbox(_ beat: EntityID) async throws -> [String] {
        try await texts(
            """
            SELECT concat_ws(' ', state, attempts, coalesce(last_error, '-'), CASE WHEN claim_token IS NULL THEN 'free' ELSE 'claimed' END)
            FROM outbox WHERE aggregate_id = '\(beat)' ORDER BY id
            """)
    }

    /// A client of a server that is not there.
    func absentRedis() throws -> RedisClient {
        var configuration = try Stack.redisConfiguration()
        configuration.port = try closedPort()
        return RedisClient(configuration, reactor: Stack.reactor)
    }

    func absentMongo() throws -> MongoClient {
        try MongoClient(MongoConfiguration(uri: "mongodb://127.0.0.1:\(try closedPort())/?serverSelectionTimeoutMS=200", database: name))
    }
}

@Suite(.timeLimit(.minutes(5))) struct RelayTests {
    private struct Refused: Error {}

    @Test func whatIsCommittedReachesBothCopiesAndLeavesNothingBehind() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.version("beats", of: beat) == 1)
            #expect(try await stack.version("search_index", of: beat) == 1)
            #expect(try await stack.count("outbox") == 0)
            #expect(try await stack.count("beat_content_staged") == 0)
            // A version that changes only the core keeps the content.
            try await stack.change(beat, "title = 'Other'")
            try await stack.relay().drain(within: .seconds(20))
            let shown = try await stack.mongo.run(deadline: Stack.soon) { session in
                try session.findOne("beats", ["_id": .uuid(beat.rawValue), "v": 2, "metadata.bpm": 101]) != nil
                    && session.findOne("search_index", ["_id": .uuid(beat.rawValue), "v": 2, "title": "Other", "bpm": 101]) != nil
            }
            #expect(shown)
        }
    }

    @Test func anOlderVersionNeverOverwritesANewerOneInWhateverOrderTheyArrive() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            let ids = (0..<20).map { _ in EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random)) }
            var writes: [(String, MongoWrite)] = []
            for id in ids {
                for version in (1...12) as ClosedRange<Int64> {
                    let state = BeatState(
                        id: id, version: version, isPublished: version % 3 != 0, isDeleted: version == 7, title: "Version \(version)",
                        creator: id, artistName: "Ana", currency: "USD", price: version, isFeatured: false,
                        createdAt: Timestamp(milliseconds: 1), updatedAt: Timestamp(milliseconds: version), staged: nil)
                    var content = BeatContentDocument(metadata: .init())
                    content.metadata?.bpm = Double(100 + version)
                    for _ in 0..<Int.random(in: 1...3, using: &random) {
                        writes.append(("beats", BeatDocuments.contentWrite(state, content)))
                        writes.append(("search_index", BeatDocuments.indexWrite(state, SearchFacts(content))))
                    }
                }
            }
            writes.shuffle(using: &random)
            // Several threads at once, as several gateways would.
            let parts = stride(from: 0, to: writes.count, by: 7).map { Array(writes[$0..<min($0 + 7, writes.count)]) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for part in parts {
                    group.addTask {
                        try await stack.mongo.run(deadline: Stack.soon) { session in
                            for (collection, write) in part {
                                let result = try session.bulkWrite(collection, [write])
                                guard result.failures.allSatisfy({ $0.code == .duplicateKey }) else { throw Refused() }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await stack.mongoCount("beats", ["v": 12, "metadata.bpm": .double(112)]) == 20, "\(random)")
            #expect(try await stack.mongoCount("search_index", ["v": 12, "deleted": true]) == 20, "\(random)")
            #expect(try await stack.mongoCount("beats") == 20)
            #expect(try await stack.mongoCount("search_index") == 20)
        }
    }

    @Test func manyRelaysAndWritersAtOnceEndWithBothStoresInStep() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            var beats: [EntityID] = []
            for number in 0..<15 { beats.append(try await stack.makeBeat(number)) }
            let changes = (0..<150).map { _ in
                (random.element(of: beats), Int.random(in: 20...400, using: &random), Bool.random(using: &random))
            }
            let relays = (0..<3).map { _ in stack.relay() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for relay in relays { group.addTask { await relay.run() } }
                for (beat, bpm, withContent) in changes {
                    try await stack.change(
                        beat, "title = 'T\(bpm)'", content: withContent ? #"{"metadata": {"bpm": \#(bpm), "mood": "m\#(bpm)"}}"# : nil)
                    relays.randomElement()?.poke()
                }
                for relay in relays { relay.stop() }
                try await group.waitForAll()
            }
            try await stack.makeDue()
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.count("outbox") == 0, "\(random)")
            #expect(try await stack.count("beat_content_staged") == 0, "\(random)")
            var expected: [EntityID: Double] = Dictionary(
                uniqueKeysWithValues: beats.enumerated().map { ($0.element, Double(100 + $0.offset)) })
            for (beat, bpm, withContent) in changes where withContent { expected[beat] = Double(bpm) }
            for beat in beats {
                let version = try await stack.texts("SELECT version::text FROM beats WHERE id = '\(beat)'").first.flatMap { Int64($0) } ?? 0
                let title = try await stack.texts("SELECT title FROM beats WHERE id = '\(beat)'").first ?? ""
                let bpm = expected[beat] ?? 0
                let isInStep = try await stack.mongo.run(deadline: Stack.soon) { session in
                    try session.findOne("beats", ["_id": .uuid(beat.rawValue), "v": .int64(version), "metadata.bpm": .double(bpm)]) != nil
                        && session.findOne(
                            "search_index",
                            ["_id": .uuid(beat.rawValue), "v": .int64(version), "bpm": .double(bpm), "title": .string(title)]) != nil
                }
                #expect(isInStep, "\(random)")
            }
        }
    }

    @Test func whatIsNoLongerPublishedIsATombstoneInTheIndexAndWhatIsDeletedKeepsItsContent() async throws {
        try await Stack.use { stack in
            let (hidden, deleted) = (try await stack.makeBeat(1), try await stack.makeBeat(2))
            try await stack.relay().drain(within: .seconds(20))
            try await stack.change(hidden, "status = 'draft'")
            try await stack.change(deleted, "status = 'archived', deleted_at = now()")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.mongoCount("search_index", ["v": 2, "deleted": true, "title": ["$exists": false]]) == 2)
            #expect(try await stack.mongoCount("beats", ["v": 2, "deleted": true, "metadata.bpm": 102]) == 1)
            #expect(try await stack.mongoCount("beats", ["_id": .uuid(hidden.rawValue), "v": 2, "metadata.bpm": 101]) == 1)
            try await stack.change(hidden, "status = 'published'")
            try await stack.relay().drain(within: .seconds(20))
            #expect(
                try await stack.mongoCount("search_index", ["_id": .uuid(hidden.rawValue), "v": 3, "bpm": 101, "title": "Beat 1"]) == 1)
        }
    }

    @Test func whatTheCopiesRefuseIsADeadLetterAfterEightAttemptsAndStopsNobodyElse() async throws {
        try await Stack.use { stack in
            let invalid = try await stack.makeBeat(1, content: #"{"metadata": {"bpm": 100000}}"#)
            let malformed = try await stack.makeBeat(2, content: #"{"metadata": 5}"#)
            let unknown = EntityID.make(milliseconds: 1)
            try await stack.owner.run(
                """
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(unknown)', 1, 'upsert');
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('spaceship', '\(unknown)', 1, 'upsert')
                """)
            let fine = try await stack.makeBeat(3)
            for round in 1...8 {
                // Whatever is due is delivered, or refused; what was refused waits.
                try? await stack.relay().drain(within: .zero)
                #expect(try await stack.version("search_index", of: fine) == 1)
                if round == 1 { #expect(try await stack.count("outbox WHERE state = 'dead'") == 0) }
                try await stack.makeDue()
            }
            #expect(try await stack.outbox(malformed) == ["dead 8 staged_content_malformed free"])
            #expect(try await stack.outbox(invalid).first?.hasPrefix("dead 8 mongo_") == true)
            #expect(Set(try await stack.outbox(unknown)) == ["dead 8 unknown_beat free", "dead 8 unknown_kind free"])
            // Dead letters keep nobody waiting.
            try await stack.relay().drain(within: .seconds(5))
            // What was staged is still there, so that a repair can deliver it.
            try await stack.change(invalid, "title = 'Repaired'", content: #"{"metadata": {"bpm": 90}}"#)
            try await stack.relay().drain(within: .seconds(5))
            #expect(try await stack.mongoCount("beats", ["_id": .uuid(invalid.rawValue), "v": 2, "metadata.bpm": 90]) == 1)
        }
    }

    @Test func withMongoAwayRowsWaitWithoutCostingAnAttempt() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            let mongo = try stack.absentMongo()
            let problem = await #expect(throws: Problem.self) { try await stack.relay(mongo: mongo).drain(within: .zero) }
            #expect(problem?.missing == [.mongo])
            #expect(try await stack.outbox(beat) == ["pending 0 - free"])
            #expect(try await stack.count("outbox WHERE next_at > now()") == 1)
            #expect(try await stack.count("beat_content_staged") == 1)
            try await stack.makeDue()
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.version("beats", of: beat) == 1)
            await mongo.shutdown()
        }
    }

    @Test func withRedisAwayRowsAreDeliveredAndTheGenerationOfCachesEnds() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            let redis = try stack.absentRedis()
            func generation() async throws -> [String] { try await stack.texts("SELECT generation::text FROM cache_generation") }
            let before = try await generation()
            try await stack.relay(redis: redis).drain(within: .seconds(20))
            #expect(try await stack.version("beats", of: beat) == 1)
            #expect(try await stack.version("search_index", of: beat) == 1)
            #expect(try await stack.outbox(beat) == [])
            #expect(try await generation() != before)
            await redis.shutdown()
        }
    }

    @Test func withMongoAwayWhatIsCommittedIsAnnouncedAllTheSame() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            let mongo = try stack.absentMongo()
            await #expect(throws: Problem.self) { try await stack.relay(mongo: mongo).drain(within: .zero) }
            #expect(stack.recorder.count { if case .cacheInvalidated = $0 { true } else { false } } == 1)
            #expect(try await stack.outbox(beat) == ["pending 0 - free"])
            await mongo.shutdown()
        }
    }

    /// Takes Postgres away in the middle of its first delivery.
    private final class Interrupted: Projector {
        let kind = Announcement.Kind.beat
        let isAnnounced = false
        private let isFirst = Mutex(true)
        private let away = Mutex(false)
        private let takeAway: @Sendable () async throws -> Void

        /// Whether it is away by now.
        var isAway: Bool { away.withLock { $0 } }

        init(_ takeAway: @escaping @Sendable () async throws -> Void) { self.takeAway = takeAway }

        func project(_ ids: [EntityID]) async throws(Problem) -> Projection {
            let isFirst = isFirst.withLock { isFirst in
                defer { isFirst = false }
                return isFirst
            }
            guard isFirst else { return Projection(Dictionary(uniqueKeysWithValues: ids.map { ($0, .shown(version: 1)) })) }
            do { try await takeAway() } catch { throw .unexpected }
            away.withLock { $0 = true }
            throw .unavailable(.postgres)
        }
    }

    @Test func whatAnOutageOfPostgresLeftUnderALeaseIsDeliveredOnceItIsBackAndNotWhenTheLeaseRunsOut() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            let postgres = PostgresClient(stack.server, reactor: Stack.reactor)
            let access = PostgresAccess(postgres, observer: stack.recorder)
            let projector = Interrupted {
                try await stack.owner.run("ALTER DATABASE \(stack.name) CONNECTION LIMIT 0")
                try await stack.owner.run(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND usename = '\(Stack.role)'
                    """)
            }
            let relay = OutboxRelay(
                .copies.leased(for: .seconds(120)), postgres: access, projectors: [projector], cache: stack.cache(),
                observer: stack.recorder)
            let running = Task { await relay.run() }
            #expect(await eventually { projector.isAway })
            #expect(try await stack.outbox(beat) == ["pending 0 - claimed"])
            try await stack.owner.run("ALTER DATABASE \(stack.name) CONNECTION LIMIT -1")
            // A fourth of what the lease would take.
            #expect(try await eventually(within: .seconds(30)) { try await stack.outbox(beat) == [] })
            relay.stop()
            await running.value
            await postgres.shutdown()
        }
    }

    /// Shows what it is given, and fails to settle it the first time.
    private final class Unsettled: Projector {
        let kind = Announcement.Kind.beat
        private let problem: Problem
        private let isSettled = Mutex(false)

        init(_ problem: Problem) { self.problem = problem }

        func project(_ ids: [EntityID]) async throws(Problem) -> Projection {
            Projection(Dictionary(uniqueKeysWithValues: ids.map { ($0, .shown(version: 1)) })) { () throws(Problem) in
                let isSettled = self.isSettled.withLock { isSettled in
                    defer { isSettled = true }
                    return isSettled
                }
                if !isSettled { throw self.problem }
            }
        }
    }

    @Test(arguments: [(Problem.unavailable(.mongo), "pending 0 - free"), (Problem.unexpected, "pending 1 settling_failed free")])
    func whatIsShownIsToldAtOnceAndItsRowGoesOnceItIsSettled(_ problem: Problem, _ row: String) async throws {
        try await Stack.use { stack in
            let watch = ProjectionWatch(postgres: stack.postgresAccess, observer: stack.recorder)
            let relay = OutboxRelay(
                postgres: stack.postgresAccess, projectors: [Unsettled(problem)], cache: stack.cache(), watch: watch,
                observer: stack.recorder)
            let beat = try await stack.makeBeat(1)
            let outcome = try await watch.after(.beat, beat, within: .seconds(20)) { () throws(Problem) in
                do throws(Problem) { try await relay.drain(within: .zero) } catch { #expect(error.code != .internal) }
                return ("written", 1)
            }
            #expect(outcome.isShown)
            #expect(try await stack.outbox(beat) == [row])
            try await stack.makeDue()
            try await relay.drain(within: .seconds(20))
            #expect(try await stack.outbox(beat) == [])
        }
    }

    @Test func theLeaseOfADeadRelayRunsOut() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            try await stack.owner.run("UPDATE outbox SET claim_token = gen_random_uuid(), claimed_until = now() + interval '30 seconds'")
            await #expect(throws: Problem.self) { try await stack.relay().drain(within: .zero) }
            #expect(try await stack.version("beats", of: beat) == nil)
            try await stack.owner.run("UPDATE outbox SET claimed_until = now()")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.version("beats", of: beat) == 1)
        }
    }

    @Test func anIdleRelayAsksPostgresFiveTimesASecondAndNoMoreAfterItWasPoked() async throws {
        try await Stack.use { stack in
            let recorder = Recorder()
            let relay = stack.relay(observer: recorder)
            let running = Task { await relay.run() }
            let beat = try await stack.makeBeat(1)
            relay.poke()
            #expect(try await eventually { try await stack.outbox(beat).isEmpty })
            func calls() -> Int { recorder.count { if case .storeCall(.postgres, _, _) = $0 { true } else { false } } }
            let before = calls()
            // The second that the count is of.
            try await Task.sleep(for: .seconds(1))
            #expect(calls() - before <= 8)
            relay.stop()
            await running.value
        }
    }
}
