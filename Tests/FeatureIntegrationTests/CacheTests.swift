import Contract
import NIOCore
import RedisClient
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

/// One Redis database, and caches over it as several gateways would have them. One test at a time: they empty it.
@Suite(.serialized, .timeLimit(.minutes(1))) struct CacheTests {
    private static let detail = Representation(kind: .beat, name: "detail", schema: 1)
    private static let patient = EntityCache.Limits(deafLifetime: .seconds(60), sharedDeadline: .seconds(5))

    private struct Fixture {
        let redis: RedisClient
        let recorder = Recorder()

        func cache(limits: EntityCache.Limits = patient, onAnnouncement: @escaping @Sendable ([Announcement]?) -> Void = { _ in })
            -> EntityCache
        {
            EntityCache(representations: [detail], limits: limits, redis: redis, observer: recorder, onAnnouncement: onAnnouncement)
        }

        /// A cache that hears announcements once this returns, until the task is cancelled.
        /// `heard` counts them.
        func listeningCache(heard: Counter = Counter()) async -> (cache: EntityCache, listening: Task<Void, Never>) {
            let gate = Gate()
            let cache = cache { if $0 == nil { Task { await gate.pass() } } else { heard.add() } }
            let listening = Task { await cache.listen(on: redis) }
            await gate.arrivals()
            gate.open()
            return (cache, listening)
        }

        func entry(_ id: EntityID) async throws -> SharedEntry? {
            try await redis.send(RedisCommand("GET", .text(detail.sharedKey(id))), deadline: Stack.soon).bytes.flatMap { SharedEntry($0) }
        }

        /// Whether the shared tier holds neither a body nor a lease.
        func isEmpty(_ id: EntityID) async throws -> Bool { if case nil = try await entry(id) { true } else { false } }

        var refused: Int { recorder.count { if case .cacheFillRefused = $0 { true } else { false } } }
    }

    private func withRedis(_ body: (Fixture) async throws -> Void) async throws {
        let redis = RedisClient(try Stack.redisConfiguration(database: Stack.cacheDatabase), reactor: Stack.reactor)
        _ = try await redis.send(RedisCommand("FLUSHDB"), deadline: Stack.soon)
        do { try await body(Fixture(redis: redis)) } catch {
            await redis.shutdown()
            throw error
        }
        await redis.shutdown()
    }

    private static func newID() -> EntityID { EntityID.make(milliseconds: 1_700_000_000_000) }

    private static func body(_ version: Int64) -> CachedBody { CachedBody(version: version, json: Array("{\"version\":\(version)}".utf8)) }

    /// A load that brings `version` of whatever is asked for, once `gate` is open.
    private static func load(_ version: Int64, _ gate: Gate? = nil, count: Counter = Counter()) -> EntityCache.Load {
        { ids throws(Problem) in
            count.add()
            await gate?.pass()
            return Dictionary(uniqueKeysWithValues: ids.map { ($0, body(version)) })
        }
    }

    fileprivate final class Counter: Sendable {
        private let loads = Atomic(0)
        func add() { loads.wrappingAdd(1, ordering: .relaxed) }
        var value: Int { loads.load(ordering: .relaxed) }
    }

    // MARK: One load

    @Test func fiveHundredMissesOfOneKeyAreOneLoad() async throws {
        try await withRedis { fixture in
            let (cache, id, gate, count) = (fixture.cache(), Self.newID(), Gate(), Counter())
            let load = Self.load(1, gate, count: count)
            let callers = (0..<500).map { _ in Task { try await cache.lookUp(Self.detail, [id], load: load)[0] } }
            await gate.arrivals()
            gate.open()
            for caller in callers {
                let lookup = try await caller.value
                #expect(lookup.body.version == 1)
            }
            #expect(count.value == 1)
            let again = try await cache.lookUp(Self.detail, [id], load: load)[0]
            #expect(again.tier == .l1)
        }
    }

    @Test func whatOneGatewayLoadedAnotherFindsInTheSharedTier() async throws {
        try await withRedis { fixture in
            let (one, other, ids) = (fixture.cache(), fixture.cache(), [Self.newID(), Self.newID()])
            #expect(try await one.lookUp(Self.detail, ids, load: Self.load(3)).map(\.tier) == [.miss, .miss])
            #expect(await eventually { await self.isStored(ids, fixture) })
            let count = Counter()
            let found = try await other.lookUp(Self.detail, ids + ids, load: Self.load(4, count: count))
            #expect(found.map(\.tier) == [.l2, .l2, .l2, .l2] && found.allSatisfy { $0.body.version == 3 })
            #expect(count.value == 0)
        }
    }

    private func isStored(_ ids: [EntityID], _ fixture: Fixture) async -> Bool {
        for id in ids { guard case .body? = try? await fixture.entry(id) else { return false } }
        return true
    }

    @Test func manyGatewaysThatMissTogetherLoadOnceAmongThemWhereTheLoadIsQuick() async throws {
        try await withRedis { fixture in
            let (caches, id, count) = ((0..<8).map { _ in fixture.cache() }, Self.newID(), Counter())
            let lookups = caches.map { cache in Task { try await cache.lookUp(Self.detail, [id], load: Self.load(1, count: count))[0] } }
            for lookup in lookups {
                let found = try await lookup.value
                #expect(found.body.version == 1)
            }
            // A gateway waits 50 ms for the one that holds the lease: no promise, but never all eight.
            #expect(count.value < 8)
        }
    }

    // MARK: Announcements

    @Test func anAnnouncementMakesEveryGatewayForget() async throws {
        try await withRedis { fixture in
            let (writer, id) = (fixture.cache(), Self.newID())
            let (reader, listening) = await fixture.listeningCache()
            _ = try await reader.lookUp(Self.detail, [id], load: Self.load(1))
            #expect(reader.local(Self.detail, id)?.version == 1)
            try await writer.announce([Announcement(kind: .beat, id: id, version: 2)])
            #expect(try await fixture.isEmpty(id))
            #expect(await eventually(within: .seconds(5)) { reader.local(Self.detail, id) == nil })
            #expect(try await reader.lookUp(Self.detail, [id], load: Self.load(2))[0].body.version == 2)
            listening.cancel()
            await listening.value
        }
    }

    @Test func announcementsByTheHundredDropExactlyWhatTheyName() async throws {
        try await withRedis { fixture in
            let (cache, ids) = (fixture.cache(), (0..<250).map { _ in Self.newID() })
            _ = try await cache.lookUp(Self.detail, ids, load: Self.load(1))
            #expect(await eventually { await self.isStored(ids, fixture) })
            try await cache.announce(ids.dropLast().map { Announcement(kind: .beat, id: $0, version: 2) })
            for id in ids.dropLast() {
                #expect(try await fixture.isEmpty(id))
                #expect(cache.local(Self.detail, id) == nil)
            }
            #expect(await isStored([ids[249]], fixture) && cache.local(Self.detail, ids[249])?.version == 1)
        }
    }

    @Test func aLoadThatBeganBeforeAnAnnouncementLandsInNoTier() async throws {
        try await withRedis { fixture in
            let (writer, id) = (fixture.cache(), Self.newID())
            let heard = Counter()
            let (reader, listening) = await fixture.listeningCache(heard: heard)
            for cache in [writer, reader] {
                let (gate, refused) = (Gate(), fixture.refused)
                let early = Task { try await cache.lookUp(Self.detail, [id], load: Self.load(1, gate))[0] }
                await gate.arrivals()
                // Version 1 has been read and is on its way to the caches.
                let before = heard.value
                try await writer.announce([Announcement(kind: .beat, id: id, version: 2)])
                #expect(await eventually { heard.value > before })
                gate.open()
                #expect(try await early.value.body.version == 1)
                #expect(cache.local(Self.detail, id) == nil)
                #expect(await eventually { fixture.refused >= refused + 2 })
                #expect(try await fixture.isEmpty(id))
                #expect(try await cache.lookUp(Self.detail, [id], load: Self.load(2))[0].body.version == 2)
                #expect(await eventually { await self.isStored([id], fixture) })
                try await writer.announce([Announcement(kind: .beat, id: id, version: 2)])
                #expect(await eventually { reader.local(Self.detail, id) == nil })
            }
            listening.cancel()
            await listening.value
        }
    }

    @Test func aLoadThatBeganAfterAnAnnouncementIsNotJoinedToOneThatBeganBefore() async throws {
        try await withRedis { fixture in
            let (cache, id, gate) = (fixture.cache(), Self.newID(), Gate())
            let early = Task { try await cache.lookUp(Self.detail, [id], load: Self.load(1, gate))[0] }
            await gate.arrivals()
            try await cache.announce([Announcement(kind: .beat, id: id, version: 2)])
            #expect(try await cache.lookUp(Self.detail, [id], load: Self.load(2))[0].body.version == 2)
            gate.open()
            #expect(try await early.value.body.version == 1)
            #expect(cache.local(Self.detail, id)?.version == 2)
            #expect(await eventually { await self.isStored([id], fixture) })
            guard case .body(let stored)? = try await fixture.entry(id) else { return }
            #expect(stored.version == 2)
        }
    }

    @Test func aFillOlderThanWhatWasAnnouncedIsRefusedEvenWithItsLease() async throws {
        try await withRedis { fixture in
            let (cache, id) = (fixture.cache(), Self.newID())
            try await cache.announce([Announcement(kind: .beat, id: id, version: 5)])
            // A load that reads an old snapshot, such as from a lagging copy.
            #expect(try await cache.lookUp(Self.detail, [id], load: Self.load(4))[0].body.version == 4)
            #expect(await eventually { fixture.refused >= 1 })
            #expect(try await fixture.isEmpty(id))
            // A late announcement of an older version does not lower the bar.
            try await cache.announce([Announcement(kind: .beat, id: id, version: 3)])
            let refused = fixture.refused
            _ = try await cache.lookUp(Self.detail, [id], load: Self.load(4))
            #expect(await eventually { fixture.refused > refused })
        }
    }

    // MARK: Leases

    @Test func theLeaseOfAProcessThatDiedKeepsNobodyWaitingAndRunsOut() async throws {
        try await withRedis { fixture in
            let id = Self.newID()
            let lease = SharedEntry.makeLease()
            _ = try await fixture.redis.send(
                RedisCommand("SET", .text(Self.detail.sharedKey(id)), .bytes(lease), "PX", "1500"), deadline: Stack.soon)
            let start = ContinuousClock.now
            let lookup = try await fixture.cache().lookUp(Self.detail, [id], load: Self.load(1))[0]
            #expect(lookup.body.version == 1 && lookup.tier == .miss)
            #expect(ContinuousClock.now - start < .seconds(1))
            #expect(await eventually { await self.refills(id, fixture) })
        }
    }

    /// Whether a gateway that asks now finds no lease of another, and fills.
    private func refills(_ id: EntityID, _ fixture: Fixture) async -> Bool {
        _ = try? await fixture.cache().lookUp(Self.detail, [id], load: Self.load(1))
        return await isStored([id], fixture)
    }

    @Test func aLoadThatFailsGivesItsLeaseBackAndIsNotRemembered() async throws {
        try await withRedis { fixture in
            let (cache, id) = (fixture.cache(), Self.newID())
            await #expect(throws: Problem.unavailable(.postgres)) {
                _ = try await cache.lookUp(Self.detail, [id]) { _ throws(Problem) in throw .unavailable(.postgres) }
            }
            let isEmpty = try await eventually { try await fixture.isEmpty(id) }
            #expect(isEmpty)
            let again = try await cache.lookUp(Self.detail, [id], load: Self.load(1))[0]
            #expect(again.body.version == 1)
        }
    }

    // MARK: What is not kept

    @Test func aBodyThatLacksAPartIsAnsweredAndNeverKept() async throws {
        try await withRedis { fixture in
            let (cache, id) = (fixture.cache(), Self.newID())
            let degraded: EntityCache.Load = { ids throws(Problem) in
                Dictionary(uniqueKeysWithValues: ids.map { ($0, CachedBody(version: 1, json: Array("{}".utf8), isComplete: false)) })
            }
            let answered = try await cache.lookUp(Self.detail, [id], load: degraded)[0]
            #expect(answered.body.exists && !answered.body.isComplete)
            #expect(cache.local(Self.detail, id) == nil)
            let isEmpty = try await eventually { try await fixture.isEmpty(id) }
            #expect(isEmpty)
            let again = try await cache.lookUp(Self.detail, [id], load: Self.load(1))[0]
            #expect(again.tier == .miss)
        }
    }

    @Test func whatIsNotThereIsRememberedShortlyAndForgottenWhenItIsMade() async throws {
        try await withRedis { fixture in
            let (cache, id, count) = (fixture.cache(), Self.newID(), Counter())
            let nothing: EntityCache.Load = { _ throws(Problem) in
                count.add()
                return [:]
            }
            #expect(try await cache.lookUp(Self.detail, [id], load: nothing)[0].body.exists == false)
            #expect(try await cache.lookUp(Self.detail, [id], load: nothing)[0].tier == .l1)
            #expect(await eventually { await self.isStored([id], fixture) })
            let other = try await fixture.cache().lookUp(Self.detail, [id], load: nothing)[0]
            #expect(other.tier == .l2 && !other.body.exists && count.value == 1)
            let left = try await fixture.redis.send(RedisCommand("PTTL", .text(Self.detail.sharedKey(id))), deadline: Stack.soon)
            guard case .integer(let milliseconds) = left else {
                Issue.record("no lifetime")
                return
            }
            #expect((1...10_000).contains(milliseconds))
            try await cache.announce([Announcement(kind: .beat, id: id, version: 1)])
            #expect(try await cache.lookUp(Self.detail, [id], load: Self.load(1))[0].body.exists)
        }
    }

    // MARK: Redis misbehaves

    @Test func withRedisAwayEverythingStillAnswers() async throws {
        var configuration = try Stack.redisConfiguration(database: Stack.cacheDatabase)
        configuration.port = try closedPort()
        let redis = RedisClient(configuration, reactor: Stack.reactor)
        let cache = EntityCache(representations: [Self.detail], redis: redis, observer: Recorder())
        let ids = (0..<100).map { _ in Self.newID() }
        let first = try await cache.lookUp(Self.detail, ids, load: Self.load(1))
        #expect(first.allSatisfy { $0.tier == .miss && $0.body.version == 1 })
        #expect(cache.local(Self.detail, ids[0])?.version == 1)
        let error = await #expect(throws: RedisError.self) { try await cache.announce([Announcement(kind: .beat, id: ids[0], version: 2)]) }
        #expect(error?.isUnavailable == true)
        // This process has forgotten all the same.
        #expect(cache.local(Self.detail, ids[0]) == nil)
        await redis.shutdown()
    }

    @Test func anEmptiedRedisIsFilledAgain() async throws {
        try await withRedis { fixture in
            let (id, count) = (Self.newID(), Counter())
            _ = try await fixture.cache().lookUp(Self.detail, [id], load: Self.load(1, count: count))
            #expect(await eventually { await self.isStored([id], fixture) })
            _ = try await fixture.redis.send(RedisCommand("FLUSHDB"), deadline: Stack.soon)
            _ = try await fixture.redis.send(RedisCommand("SCRIPT", "FLUSH"), deadline: Stack.soon)
            #expect(try await fixture.cache().lookUp(Self.detail, [id], load: Self.load(1, count: count))[0].tier == .miss)
            #expect(await eventually { await self.isStored([id], fixture) })
            #expect(count.value == 2)
        }
    }

    @Test func bytesThatNoGatewayWroteAreNoAnswer() async throws {
        try await withRedis { fixture in
            let id = Self.newID()
            _ = try await fixture.redis.send(RedisCommand("SET", .text(Self.detail.sharedKey(id)), "garbage"), deadline: Stack.soon)
            #expect(try await fixture.cache().lookUp(Self.detail, [id], load: Self.load(1))[0].body.version == 1)
            _ = try await fixture.redis.send(RedisCommand("DEL", .text(Self.detail.sharedKey(id))), deadline: Stack.soon)
            _ = try await fixture.redis.send(RedisCommand("LPUSH", .text(Self.detail.sharedKey(id)), "x"), deadline: Stack.soon)
            #expect(try await fixture.cache().lookUp(Self.detail, [id], load: Self.load(1))[0].body.version == 1)
        }
    }
}
