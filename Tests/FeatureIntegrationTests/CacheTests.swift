import Contract
import RedisClient
import TestSupport
import Testing

@testable import DataPlane

/// One Redis database, and caches over it as several gateways would have them. One test at a time: they empty it.
@Suite(.serialized, .timeLimit(.minutes(5))) struct CacheTests {
    // MARK: One load

    @Test func fiveHundredMissesOfOneKeyAreOneLoad() async throws {
        try await CacheFixture.use(1) { _, caches in
            let (cache, id, gate, count) = (caches[0], CacheFixture.newID(), Gate(), CacheFixture.Counter())
            let load = CacheFixture.source(1, gate, count: count)
            let callers = (0..<500).map { _ in Task { try await cache.lookUp(CacheFixture.detail, [id], from: load)[0] } }
            await gate.arrivals()
            gate.open()
            for caller in callers {
                let lookup = try await caller.value
                #expect(lookup.body.version == 1)
            }
            #expect(count.value == 1)
            let again = try await cache.lookUp(CacheFixture.detail, [id], from: load)[0]
            #expect(again.tier == .l1)
        }
    }

    @Test func whatOneGatewayLoadedAnotherFindsInTheSharedTier() async throws {
        try await CacheFixture.use(2) { fixture, caches in
            let (one, other, ids) = (caches[0], caches[1], [CacheFixture.newID(), CacheFixture.newID()])
            #expect(try await one.lookUp(CacheFixture.detail, ids, from: CacheFixture.source(3)).map(\.tier) == [.miss, .miss])
            #expect(await eventually { await fixture.isStored(ids) })
            let count = CacheFixture.Counter()
            let found = try await other.lookUp(CacheFixture.detail, ids + ids, from: CacheFixture.source(4, count: count))
            #expect(found.map(\.tier) == [.l2, .l2, .l2, .l2] && found.allSatisfy { $0.body.version == 3 })
            #expect(count.value == 0)
        }
    }

    @Test func manyGatewaysThatMissTogetherLoadOnceAmongThemWhereTheLoadIsQuick() async throws {
        try await CacheFixture.use(8) { _, caches in
            let (id, count) = (CacheFixture.newID(), CacheFixture.Counter())
            let source = CacheFixture.source(1, count: count)
            let lookups = caches.map { cache in Task { try await cache.lookUp(CacheFixture.detail, [id], from: source)[0] } }
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
        try await CacheFixture.use(2) { fixture, caches in
            let (writer, reader, id) = (caches[0], caches[1], CacheFixture.newID())
            _ = try await reader.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))
            #expect(reader.held(id) == 1)
            try await writer.announce([Announcement(kind: .beat, id: id, version: 2)])
            #expect(try await fixture.isEmpty(id))
            #expect(await eventually(within: .seconds(5)) { reader.held(id) == nil })
            #expect(try await reader.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(2))[0].body.version == 2)
        }
    }

    @Test func announcementsByTheHundredDropExactlyWhatTheyName() async throws {
        try await CacheFixture.use(1) { fixture, caches in
            let (cache, ids) = (caches[0], (0..<250).map { _ in CacheFixture.newID() })
            _ = try await cache.lookUp(CacheFixture.detail, ids, from: CacheFixture.source(1))
            #expect(await eventually { await fixture.isStored(ids) })
            try await cache.announce(ids.dropLast().map { Announcement(kind: .beat, id: $0, version: 2) })
            for id in ids.dropLast() {
                #expect(try await fixture.isEmpty(id))
                #expect(cache.held(id) == nil)
            }
            #expect(await fixture.isStored([ids[249]]))
            #expect(cache.held(ids[249]) == 1)
        }
    }

    @Test func aLoadThatBeganBeforeAnAnnouncementLandsInNoTier() async throws {
        try await CacheFixture.use { fixture in
            let (id, heard) = (CacheFixture.newID(), CacheFixture.Counter())
            let instances = (0..<2).map { _ in
                fixture.instance(limits: CacheFixture.patient) { if $0?.contains(where: { $0.id == id }) == true { heard.add() } }
            }
            let (writer, reader) = (await instances[0].trusted(), await instances[1].trusted())
            for cache in [writer, reader] {
                let (gate, refused) = (Gate(), fixture.refused)
                let early = Task { try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1, gate))[0] }
                await gate.arrivals()
                // Version 1 has been read and is on its way to the caches.
                let before = heard.value
                try await writer.announce([Announcement(kind: .beat, id: id, version: 2)])
                // Twice in the writer itself, and once by way of Redis in each.
                #expect(await eventually { heard.value >= before + 4 })
                gate.open()
                #expect(try await early.value.body.version == 1)
                #expect(cache.held(id) == nil)
                #expect(await eventually { fixture.refused >= refused + 2 })
                #expect(try await fixture.isEmpty(id))
                #expect(try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(2))[0].body.version == 2)
                #expect(await eventually { await fixture.isStored([id]) })
                let between = heard.value
                try await writer.announce([Announcement(kind: .beat, id: id, version: 2)])
                #expect(await eventually { heard.value >= between + 4 })
                #expect(reader.held(id) == nil)
            }
            for instance in instances { await instance.stop() }
        }
    }

    @Test func aLoadThatBeganAfterAnAnnouncementIsNotJoinedToOneThatBeganBefore() async throws {
        try await CacheFixture.use { fixture in
            let (id, gate, heard) = (CacheFixture.newID(), Gate(), CacheFixture.Counter())
            let instance = fixture.instance(limits: CacheFixture.patient) {
                if $0?.contains(where: { $0.id == id }) == true { heard.add() }
            }
            let cache = await instance.trusted()
            let early = Task { try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1, gate))[0] }
            await gate.arrivals()
            try await cache.announce([Announcement(kind: .beat, id: id, version: 2)])
            // Twice in itself, and once by way of Redis.
            #expect(await eventually { heard.value >= 3 })
            #expect(try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(2))[0].body.version == 2)
            gate.open()
            #expect(try await early.value.body.version == 1)
            #expect(cache.held(id) == 2)
            #expect(await eventually { await fixture.isStored([id]) })
            if case .body(let stored)? = try await fixture.entry(id) { #expect(stored.version == 2) }
            await instance.stop()
        }
    }

    @Test func aFillOlderThanWhatWasAnnouncedIsRefusedEvenWithItsLease() async throws {
        try await CacheFixture.use(1) { fixture, caches in
            let (cache, id) = (caches[0], CacheFixture.newID())
            try await cache.announce([Announcement(kind: .beat, id: id, version: 5)])
            // A load that reads an old snapshot, such as from a lagging copy.
            #expect(try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(4))[0].body.version == 4)
            #expect(await eventually { fixture.refused >= 1 })
            #expect(try await fixture.isEmpty(id))
            // A late announcement of an older version does not lower the bar.
            try await cache.announce([Announcement(kind: .beat, id: id, version: 3)])
            let refused = fixture.refused
            _ = try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(4))
            #expect(await eventually { fixture.refused > refused })
        }
    }

    // MARK: Leases

    @Test func theLeaseOfAProcessThatDiedKeepsNobodyWaitingAndRunsOut() async throws {
        try await CacheFixture.use(1) { fixture, caches in
            let id = CacheFixture.newID()
            let lease = SharedEntry.makeLease()
            _ = try await fixture.redis.send(
                RedisCommand("SET", try await fixture.key(id), .bytes(lease), "PX", "1500"), deadline: Stack.soon)
            let start = ContinuousClock.now
            let lookup = try await caches[0].lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))[0]
            #expect(lookup.body.version == 1 && lookup.tier == .miss)
            #expect(ContinuousClock.now - start < .seconds(1))
            // It keeps nothing in memory, so it asks Redis each time.
            let forgetful = fixture.instance(limits: .init(localBytes: 0, sharedDeadline: .seconds(5), patience: .seconds(20)))
            let cache = await forgetful.trusted()
            #expect(await eventually { await self.refills(id, cache, fixture) })
            await forgetful.stop()
        }
    }

    /// Whether a gateway that asks now finds no lease of another, and fills.
    private func refills(_ id: EntityID, _ cache: EntityCache, _ fixture: CacheFixture) async -> Bool {
        _ = try? await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))
        return await fixture.isStored([id])
    }

    @Test func aLoadThatFailsGivesItsLeaseBackAndIsNotRemembered() async throws {
        try await CacheFixture.use(1) { fixture, caches in
            let (cache, id) = (caches[0], CacheFixture.newID())
            await #expect(throws: Problem.unavailable(.postgres)) {
                _ = try await cache.lookUp(
                    CacheFixture.detail, [id], from: EntitySource { _ throws(Problem) in throw .unavailable(.postgres) })
            }
            let isEmpty = try await eventually { try await fixture.isEmpty(id) }
            #expect(isEmpty)
            let again = try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))[0]
            #expect(again.body.version == 1)
        }
    }

    // MARK: What is not kept

    @Test func aBodyThatLacksAPartIsAnsweredAndNeverKept() async throws {
        try await CacheFixture.use(1) { fixture, caches in
            let (cache, id) = (caches[0], CacheFixture.newID())
            let degraded = EntitySource { ids throws(Problem) in
                Dictionary(uniqueKeysWithValues: ids.map { ($0, CachedBody(version: 1, json: Array("{}".utf8), isComplete: false)) })
            }
            let answered = try await cache.lookUp(CacheFixture.detail, [id], from: degraded)[0]
            #expect(answered.body.exists && !answered.body.isComplete)
            #expect(cache.held(id) == nil)
            let isEmpty = try await eventually { try await fixture.isEmpty(id) }
            #expect(isEmpty)
            let again = try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))[0]
            #expect(again.tier == .miss)
        }
    }

    @Test func whatIsNotThereIsRememberedShortlyAndForgottenWhenItIsMade() async throws {
        try await CacheFixture.use(2) { fixture, caches in
            let (cache, id, count) = (caches[0], CacheFixture.newID(), CacheFixture.Counter())
            let nothing = EntitySource { _ throws(Problem) in
                count.add()
                return [:]
            }
            #expect(try await cache.lookUp(CacheFixture.detail, [id], from: nothing)[0].body.exists == false)
            #expect(try await cache.lookUp(CacheFixture.detail, [id], from: nothing)[0].tier == .l1)
            #expect(await eventually { await fixture.isStored([id]) })
            let other = try await caches[1].lookUp(CacheFixture.detail, [id], from: nothing)[0]
            #expect(other.tier == .l2 && !other.body.exists && count.value == 1)
            let left = try await fixture.redis.send(RedisCommand("PTTL", try await fixture.key(id)), deadline: Stack.soon)
            guard case .integer(let milliseconds) = left else {
                Issue.record("no lifetime")
                return
            }
            #expect((1...10_000).contains(milliseconds))
            try await cache.announce([Announcement(kind: .beat, id: id, version: 1)])
            #expect(try await cache.lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))[0].body.exists)
        }
    }

    // MARK: Redis misbehaves

    @Test func anEmptiedRedisIsFilledAgain() async throws {
        try await CacheFixture.use(2) { fixture, caches in
            let (id, count) = (CacheFixture.newID(), CacheFixture.Counter())
            _ = try await caches[0].lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1, count: count))
            #expect(await eventually { await fixture.isStored([id]) })
            _ = try await fixture.redis.send(RedisCommand("FLUSHDB"), deadline: Stack.soon)
            _ = try await fixture.redis.send(RedisCommand("SCRIPT", "FLUSH"), deadline: Stack.soon)
            #expect(try await caches[1].lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1, count: count))[0].tier == .miss)
            #expect(await eventually { await fixture.isStored([id]) })
            #expect(count.value == 2)
        }
    }

    @Test func bytesThatNoGatewayWroteAreNoAnswer() async throws {
        try await CacheFixture.use(2) { fixture, caches in
            let id = CacheFixture.newID()
            _ = try await fixture.redis.send(RedisCommand("SET", try await fixture.key(id), "garbage"), deadline: Stack.soon)
            #expect(try await caches[0].lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))[0].body.version == 1)
            _ = try await fixture.redis.send(RedisCommand("DEL", try await fixture.key(id)), deadline: Stack.soon)
            _ = try await fixture.redis.send(RedisCommand("LPUSH", try await fixture.key(id), "x"), deadline: Stack.soon)
            #expect(try await caches[1].lookUp(CacheFixture.detail, [id], from: CacheFixture.source(1))[0].body.version == 1)
        }
    }
}
