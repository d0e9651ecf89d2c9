import Contract
import PostgresClient
import RedisClient
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

/// Whatever becomes of Redis, no reader is shown what was replaced, for longer than an instance may be out of touch.
@Suite(.serialized, .timeLimit(.minutes(5))) struct CacheCoherenceTests {
    private static let detail = CacheFixture.detail
    /// For how long an instance may serve what was replaced. Tests wait for just as long: from then on is what they are about.
    private static let outOfTouch = Duration.milliseconds(250)

    private static func announcement(_ id: EntityID, _ version: Int64) -> [Announcement] {
        [Announcement(kind: .beat, id: id, version: version)]
    }

    /// What reading again and again for `duration` shows at least.
    private func lowest(_ id: EntityID, _ truth: CacheFixture.Truth, _ caches: [EntityCache], for duration: Duration) async throws -> Int64
    {
        var lowest = Int64.max
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end {
            for cache in caches { lowest = min(lowest, try await cache.version(id, truth)) }
            // As often as it can be asked without keeping the gateways from their work.
            try await Task.sleep(for: .milliseconds(1))
        }
        return lowest
    }

    @Test func whoCannotHearAsksPostgresAtWhichVersionAnEntityIs() async throws {
        try await CacheFixture.use { fixture in
            let (cache, id, truth) = (fixture.lonelyCache(), CacheFixture.newID(), CacheFixture.Truth())
            truth.set(id, 1)
            for _ in 0..<3 {
                let version = try await cache.version(id, truth)
                #expect(version == 1)
            }
            #expect(truth.loads.value == 1 && truth.confirmations.value == 2)
            // Another gateway's write, of which nobody tells: the very next read shows it.
            truth.set(id, 2)
            let version = try await cache.version(id, truth)
            #expect(version == 2 && truth.loads.value == 2)
            #expect(cache.local(Self.detail, id) == nil)
        }
    }

    @Test func aGatewayWithoutRedisEndsTheTrustOfThoseWhoHaveIt() async throws {
        try await CacheFixture.use { fixture in
            let (instance, id, truth) = (fixture.instance(), CacheFixture.newID(), CacheFixture.Truth())
            let (reader, writer) = (await instance.trusted(), fixture.lonelyCache())
            truth.set(id, 1)
            _ = try await reader.version(id, truth)
            truth.set(id, 2)
            try await writer.announce(Self.announcement(id, 2))
            try await Task.sleep(for: Self.outOfTouch)
            // Through the quarantine, and past it.
            #expect(try await lowest(id, truth, [reader], for: .seconds(2)) == 2)
            #expect(await eventually { reader.local(Self.detail, id)?.version == 2 })
            await instance.stop()
        }
    }

    @Test func aWriterThatCannotReachRedisWaitsForItOnceAndNotForEveryWrite() async throws {
        try await OwnRedis.run { server in
            try await CacheFixture.use { fixture in
                let redis = server.client()
                let instance = fixture.instance(redis: redis)
                let (cache, id) = (await instance.trusted(), CacheFixture.newID())
                server.freeze()
                let start = ContinuousClock.now
                try await cache.announce(Self.announcement(id, 2))
                let first = start.duration(to: .now)
                let generation = try await fixture.generation
                var others = Duration.zero
                for version in 3..<23 as Range<Int64> {
                    others += try await ContinuousClock().measure { try await cache.announce(Self.announcement(id, version)) }
                }
                #expect(first < .seconds(1) && others < .milliseconds(200), "\(first), then \(others) for twenty")
                // What has ended stays ended for a while: no write for each.
                #expect(try await fixture.generation == generation)
                server.thaw()
                await instance.stop()
                await redis.shutdown()
            }
        }
    }

    @Test func aDeadSubscriptionIsNoticedAndWhatWasMissedIsAskedFor() async throws {
        try await CacheFixture.use { fixture in
            let (one, other) = (fixture.instance(), fixture.instance())
            let (writer, reader) = (await one.trusted(), await other.trusted())
            let (changed, same, truth) = (CacheFixture.newID(), CacheFixture.newID(), CacheFixture.Truth())
            for id in [changed, same] {
                truth.set(id, 1)
                _ = try await reader.version(id, truth)
            }
            for version in 2...6 as ClosedRange<Int64> {
                _ = try await fixture.redis.send(RedisCommand("CLIENT", "KILL", "TYPE", "pubsub"), deadline: Stack.soon)
                truth.set(changed, version)
                try await writer.announce(Self.announcement(changed, version))
                try await Task.sleep(for: Self.outOfTouch)
                #expect(try await lowest(changed, truth, [reader], for: .milliseconds(300)) == version)
            }
            #expect(await eventually { reader.isTrusted })
            // Nothing that is as it was is read anew.
            let loads = truth.loads.value
            #expect(try await reader.version(same, truth) == 1)
            #expect(truth.loads.value == loads)
            for instance in [one, other] { await instance.stop() }
        }
    }

    @Test func aFrozenRedisThatGoesOnShowsNobodyWhatWasReplacedMeanwhile() async throws {
        try await OwnRedis.run { server in
            try await CacheFixture.use { fixture in
                let clients = [server.client(), server.client()]
                let instances = clients.map { fixture.instance(redis: $0) }
                let (writer, reader) = (await instances[0].trusted(), await instances[1].trusted())
                let (ids, truth) = ((0..<50).map { _ in CacheFixture.newID() }, CacheFixture.Truth())
                for id in ids {
                    truth.set(id, 1)
                    _ = try await reader.version(id, truth)
                }
                // Version 1 is in memory and in Redis; fills and announcements of the last moment stand in its buffers.
                server.freeze()
                for id in ids { truth.set(id, 2) }
                try await writer.announce(ids.map { Announcement(kind: .beat, id: $0, version: 2) })
                try await Task.sleep(for: Self.outOfTouch)
                #expect(!reader.isTrusted)
                for id in ids { #expect(try await reader.version(id, truth) == 2) }
                // Frozen for longer than anybody waits for it: what stands in its buffers is answered to nobody.
                try await Task.sleep(for: .milliseconds(500))
                server.thaw()
                let end = ContinuousClock.now + .seconds(3)
                while ContinuousClock.now < end {
                    for id in ids { #expect(try await reader.version(id, truth) == 2) }
                }
                #expect(await eventually { reader.isTrusted && writer.isTrusted })
                for id in ids { #expect(try await reader.version(id, truth) == 2) }
                for instance in instances { await instance.stop() }
                for client in clients { await client.shutdown() }
            }
        }
    }

    @Test func whatNobodyCouldBeToldOfIsNoAnswerUntilSomebodyIs() async throws {
        try await Stack.use { stack in
            // The generation's table is out of reach, as it is where Postgres dies between a read and the announcement of it.
            var nowhere = stack.server
            nowhere.port = try closedPort()
            let postgres = PostgresClient(nowhere, reactor: Stack.reactor)
            let cache = EntityCache(
                representations: [Self.detail], redis: nil, postgres: PostgresAccess(postgres, observer: stack.recorder),
                observer: stack.recorder)
            let (id, truth) = (CacheFixture.newID(), CacheFixture.Truth())
            truth.set(id, 1)
            #expect(try await cache.version(id, truth) == 1)
            truth.set(id, 2)
            for _ in 0..<2 {
                let code = await problem { () throws(Problem) in
                    try await cache.lookUp(Self.detail, [id], from: truth.source)[0].body.version
                }
                #expect(code == .storeUnavailable)
            }
            await #expect(throws: Problem.self) { try await cache.announce(Self.announcement(id, 2)) }
            await #expect(throws: Problem.self) { _ = try await cache.version(id, truth) }
            await postgres.shutdown()
        }
    }

    @Test func aRedisThatComesBackWithOldDataIsNotBelieved() async throws {
        try await OwnRedis.run { server in
            try await CacheFixture.use { fixture in
                let clients = (0..<3).map { _ in server.client() }
                let instances = clients.map { fixture.instance(redis: $0) }
                let (writer, reader) = (await instances[0].trusted(), await instances[1].trusted())
                let (id, truth) = (CacheFixture.newID(), CacheFixture.Truth())
                truth.set(id, 1)
                _ = try await reader.version(id, truth)
                let key = Self.detail.sharedKey(id, try await fixture.generation)
                let isStored = try await eventually {
                    try await clients[0].send(RedisCommand("EXISTS", .text(key)), deadline: Stack.soon).int64 == 1
                }
                #expect(isStored)
                _ = try await clients[0].send(RedisCommand("SAVE"), deadline: Stack.soon)
                truth.set(id, 2)
                try await writer.announce(Self.announcement(id, 2))
                server.kill()
                try server.start()
                // One that remembers nothing finds in Redis what was replaced.
                let late = await instances[2].trusted()
                #expect(try await clients[2].send(RedisCommand("EXISTS", .text(key)), deadline: Stack.soon).int64 == 1)
                #expect(try await lowest(id, truth, [writer, reader, late], for: .seconds(2)) == 2)
                #expect(await eventually { writer.isTrusted && reader.isTrusted && late.isTrusted })
                #expect(try await lowest(id, truth, [writer, reader, late], for: .milliseconds(200)) == 2)
                #expect(Self.detail.sharedKey(id, try await fixture.generation) != key)
                for instance in instances { await instance.stop() }
                for client in clients { await client.shutdown() }
            }
        }
    }

    @Test func aRedisThatFollowsAnotherIsNoCache() async throws {
        try await OwnRedis.run { server in
            try await CacheFixture.use { fixture in
                let redis = server.client()
                let instance = fixture.instance(redis: redis)
                let cache = await instance.trusted()
                let other = try Stack.redisConfiguration()
                _ = try await redis.send(
                    RedisCommand("REPLICAOF", .text(other.host), .integer(Int64(other.port))), deadline: Stack.soon)
                #expect(await eventually { !cache.isTrusted })
                _ = try await redis.send(RedisCommand("REPLICAOF", "NO", "ONE"), deadline: Stack.soon)
                // It may have the other's data now, so a new generation begins.
                #expect(await eventually { cache.isTrusted })
                await instance.stop()
                await redis.shutdown()
            }
        }
    }
}
