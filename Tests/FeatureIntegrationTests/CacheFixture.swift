import Contract
import RedisClient
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

/// Caches as several gateways would have them, over one Redis and one Postgres.
struct CacheFixture {
    static let detail = Representation(kind: .beat, name: "detail", schema: 1)
    /// For tests that are not about time, on a machine that is busy.
    static let patient = EntityCache.Limits(sharedDeadline: .seconds(5), patience: .seconds(20))

    /// One of the caches, hearing announcements until `stop`.
    struct Instance {
        let cache: EntityCache
        let hearing: Task<Void, Never>

        func stop() async {
            hearing.cancel()
            await hearing.value
        }

        /// Waits until it serves what it has without asking.
        func trusted() async -> EntityCache {
            #expect(await eventually { cache.isTrusted })
            return cache
        }
    }

    let stack: Stack
    let redis: RedisClient
    let recorder = Recorder()

    /// Lends a Redis database that holds nothing, and so many patient caches over it that trust what they have.
    static func use(_ count: Int, _ body: (CacheFixture, [EntityCache]) async throws -> Void) async throws {
        try await use { fixture in
            let instances = (0..<count).map { _ in fixture.instance(limits: patient) }
            var caches: [EntityCache] = []
            for instance in instances { caches.append(await instance.trusted()) }
            let outcome: Result<Void, any Error>
            do { outcome = .success(try await body(fixture, caches)) } catch { outcome = .failure(error) }
            for instance in instances { await instance.stop() }
            try outcome.get()
        }
    }

    /// Lends a Redis database that holds nothing.
    static func use(_ body: (CacheFixture) async throws -> Void) async throws {
        try await Stack.use { stack in
            let redis = RedisClient(try Stack.redisConfiguration(database: Stack.cacheDatabase), reactor: Stack.reactor)
            _ = try await redis.send(RedisCommand("FLUSHDB"), deadline: Stack.soon)
            do { try await body(CacheFixture(stack: stack, redis: redis)) } catch {
                await redis.shutdown()
                throw error
            }
            await redis.shutdown()
        }
    }

    /// A cache over `redis`, or over the one that is lent.
    func instance(
        limits: EntityCache.Limits = .init(), redis: RedisClient? = nil,
        onAnnouncement: @escaping @Sendable ([Announcement]?) -> Void = { _ in }
    ) -> Instance {
        let cache = EntityCache(
            representations: [Self.detail], limits: limits, redis: redis ?? self.redis,
            postgres: PostgresAccess(stack.postgres, observer: recorder), observer: recorder, onAnnouncement: onAnnouncement)
        return Instance(cache: cache, hearing: Task { await cache.run() })
    }

    /// One without any Redis.
    func lonelyCache() -> EntityCache {
        EntityCache(
            representations: [Self.detail], redis: nil, postgres: PostgresAccess(stack.postgres, observer: recorder), observer: recorder)
    }

    // MARK: Looking

    var generation: Int64 {
        get async throws { try await CacheGenerationStore(postgres: PostgresAccess(stack.postgres, observer: recorder)).current().number }
    }

    func key(_ id: EntityID) async throws -> RedisArgument { .text(Self.detail.sharedKey(id, try await generation)) }

    func entry(_ id: EntityID) async throws -> SharedEntry? {
        try await redis.send(RedisCommand("GET", try await key(id)), deadline: Stack.soon).bytes.flatMap { SharedEntry($0) }
    }

    /// Whether the shared tier holds neither a body nor a lease.
    func isEmpty(_ id: EntityID) async throws -> Bool { if case nil = try await entry(id) { true } else { false } }

    func isStored(_ ids: [EntityID]) async -> Bool {
        for id in ids { guard case .body? = try? await entry(id) else { return false } }
        return true
    }

    var refused: Int { recorder.count { if case .cacheFillRefused = $0 { true } else { false } } }

    // MARK: What there is to be cached

    static func newID() -> EntityID { EntityID.make(milliseconds: 1_700_000_000_000) }

    static func body(_ version: Int64) -> CachedBody { CachedBody(version: version, json: Array("{\"version\":\(version)}".utf8)) }

    /// Brings `version` of whatever is asked for, once `gate` is open.
    static func source(_ version: Int64, _ gate: Gate? = nil, count: Counter = Counter()) -> EntitySource {
        EntitySource { ids throws(Problem) in
            count.add()
            await gate?.pass()
            return Dictionary(uniqueKeysWithValues: ids.map { ($0, body(version)) })
        }
    }

    final class Counter: Sendable {
        private let loads = Atomic(0)
        func add() { loads.wrappingAdd(1, ordering: .relaxed) }
        var value: Int { loads.load(ordering: .relaxed) }
    }

    /// The versions as the databases have them.
    final class Truth: Sendable {
        private let versions = Mutex<[EntityID: Int64]>([:])
        let loads = Counter()
        let confirmations = Counter()

        func set(_ id: EntityID, _ version: Int64) { versions.withLock { $0[id] = version } }

        var source: EntitySource {
            EntitySource { ids throws(Problem) in
                self.loads.add()
                return self.read(ids).mapValues { body($0) }
            } versions: { ids throws(Problem) in
                self.confirmations.add()
                return self.read(ids)
            }
        }

        private func read(_ ids: [EntityID]) -> [EntityID: Int64] {
            versions.withLock { versions in versions.filter { ids.contains($0.key) } }
        }
    }
}

extension EntityCache {
    /// The version in memory, whether or not it may be served without asking just now; nil for none.
    func held(_ id: EntityID) -> Int64? {
        state.withLock { $0.local.value(for: Key(representation: CacheFixture.detail, id: id), now: .now)?.body.version }
    }

    /// The version that a reader is shown; 0 where it is shown none.
    func version(_ id: EntityID, _ truth: CacheFixture.Truth) async throws -> Int64 {
        try await lookUp(CacheFixture.detail, [id], from: truth.source)[0].body.version
    }
}
