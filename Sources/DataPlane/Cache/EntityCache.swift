import Contract
import RedisClient
import Synchronization

/// What looking up one entity came to: its body, and the tier that had it.
public struct Lookup: Sendable {
    public let tier: CacheTier
    public let body: CachedBody

    public init(tier: CacheTier, body: CachedBody) {
        self.tier = tier
        self.body = body
    }
}

/// Where a cache gets what it does not have.
public struct EntitySource: Sendable {
    /// Brings the public bodies of some entities.
    public typealias Load = @Sendable ([EntityID]) async throws(Problem) -> [EntityID: CachedBody]
    /// Brings the versions that some entities have now.
    public typealias Versions = @Sendable ([EntityID]) async throws(Problem) -> [EntityID: Int64]

    let load: Load
    let versions: Versions?

    /// `load` brings bodies. `versions` says at which version each is now, none where there is none; without it a body that has to be
    /// confirmed is loaded anew. Both must read after they are called, never join what was asked before.
    public init(load: @escaping Load, versions: Versions? = nil) {
        self.load = load
        self.versions = versions
    }

    /// Asks batch by batch. A loader's next batch leaves after it was asked for, so what it reads is never older than the question.
    public init(_ bodies: BatchLoader<EntityID, CachedBody>, versions: BatchLoader<EntityID, Int64>) {
        self.init { ids throws(Problem) in
            try await bodies.found(for: ids)
        } versions: { ids throws(Problem) in
            try await versions.found(for: ids)
        }
    }
}

/// Final bytes of public entities in two tiers: this process's memory over Redis.
///
/// While this instance is sure to hear of every change (`CacheTrust`), a hit is served as it is, and a miss is loaded once in this process
/// (`Flight`) and once among all processes (a lease in Redis). While it is not, Postgres is asked at which version an entity is before
/// its bytes are served from memory, and Redis is left alone. What was announced as newer while a load was under way is never stored: an
/// announcement detaches the flights of its entity and voids their leases. Sessions, carts, balances and payments never come here.
public final class EntityCache: Sendable {
    /// The bounds of the cache.
    public struct Limits: Sendable {
        /// Bytes of memory that bodies may take in this process.
        public var localBytes: Int
        /// Life of a body in memory, whatever was announced.
        public var localLifetime: Duration
        /// What one call of Redis may cost a request.
        public var sharedDeadline: Duration
        /// How long a body may be served after a newer version was announced, by whoever has not heard of it; and how long Redis may
        /// take to be told.
        public var patience: Duration

        public init(
            localBytes: Int = 64 << 20, localLifetime: Duration = .seconds(60), sharedDeadline: Duration = .milliseconds(50),
            patience: Duration = .milliseconds(250)
        ) {
            self.localBytes = localBytes
            self.localLifetime = localLifetime
            self.sharedDeadline = sharedDeadline
            self.patience = patience
        }
    }

    struct Key: Hashable {
        let representation: Representation
        let id: EntityID
    }

    /// A body, and the era in which it is good as it stands; nil where it has to be confirmed whenever it is asked for.
    struct Kept {
        let body: CachedBody
        let era: UInt64?
    }

    struct State {
        var local: LocalTier<Key, Kept>
        /// Of the current era, all of them.
        var flights: [Key: Flight<Lookup>] = [:]
        var trust: CacheTrust
        var newest = NewestVersions()
        /// Under way to end the generation.
        var closing: Flight<Void>?
        var hasNoServer = false
    }

    let representations: [Representation]
    let limits: Limits
    let shared: SharedTier?
    let generations: CacheGenerationStore
    let observer: any Observer
    let state: Mutex<State>
    let onAnnouncement: @Sendable ([Announcement]?) -> Void
    /// Names this instance among those who hear beats.
    let instance = RequestID()
    let began = ContinuousClock.now

    /// `representations` are all that are ever cached, so that an announcement reaches each. `onAnnouncement` hears every
    /// announcement that reaches this process, its own included; nil says that some may have been missed.
    public init(
        representations: [Representation], limits: Limits = Limits(), redis: RedisClient?, postgres: PostgresAccess,
        observer: any Observer, onAnnouncement: @escaping @Sendable ([Announcement]?) -> Void = { _ in }
    ) {
        self.representations = representations
        self.limits = limits
        self.observer = observer
        self.onAnnouncement = onAnnouncement
        generations = CacheGenerationStore(postgres: postgres)
        shared = redis.map { SharedTier(redis: $0, deadline: limits.sharedDeadline, announceDeadline: limits.patience, observer: observer) }
        state = Mutex(State(local: LocalTier(capacity: limits.localBytes), trust: CacheTrust(patience: limits.patience)))
    }

    // MARK: Reading

    /// The body if this process has it and is sure that it would have heard of a newer one. Never waits.
    public func local(_ representation: Representation, _ id: EntityID) -> CachedBody? {
        let now = ContinuousClock.now
        let body: CachedBody? = state.withLock { state in
            guard let era = state.trust.trustedEra(at: now),
                let kept = state.local.value(for: Key(representation: representation, id: id), now: now), kept.era == era
            else { return nil }
            return kept.body
        }
        if body != nil { observer.observe(.cacheLookup(.l1)) }
        return body
    }

    /// The bodies of `ids` in their order, from the nearest tier that has each; `source` brings the rest together.
    ///
    /// Throws only what `source` throws. A failed load is not remembered.
    public func lookUp(_ representation: Representation, _ ids: [EntityID], from source: EntitySource) async throws(Problem) -> [Lookup] {
        let lookups = try await trustedLookUp(representation, ids, source)
        let found = if let lookups { lookups } else { try await confirmedLookUp(representation, ids, source) }
        return ids.map { id in
            let lookup = found[id] ?? Lookup(tier: .miss, body: .absent)
            observer.observe(.cacheLookup(lookup.tier))
            return lookup
        }
    }

    /// Nil where nothing that this instance holds is to be trusted.
    private func trustedLookUp(
        _ representation: Representation, _ ids: [EntityID], _ source: EntitySource
    ) async throws(Problem) -> [EntityID: Lookup]? {
        var found: [EntityID: Lookup] = Dictionary(minimumCapacity: ids.count)
        var joined: [(EntityID, Flight<Lookup>)] = []
        var own = Departure()
        let now = ContinuousClock.now
        let isTrusted = state.withLock { state in
            guard let era = state.trust.trustedEra(at: now) else { return false }
            own.access = state.trust.sharedAccess(at: now)
            for id in ids where found[id] == nil {
                let key = Key(representation: representation, id: id)
                let kept = state.local.value(for: key, now: now)
                if let kept, kept.era == era {
                    found[id] = Lookup(tier: .l1, body: kept.body)
                } else if let flight = state.flights[key] {
                    joined.append((id, flight))
                } else {
                    let flight = Flight<Lookup>()
                    state.flights[key] = flight
                    own.flights[id] = flight
                    own.unconfirmed[id] = kept?.body
                    joined.append((id, flight))
                }
            }
            return true
        }
        guard isTrusted else { return nil }
        if !own.flights.isEmpty {
            // Not the request's own task: the load outlives a caller that goes away, and the others still get their answer.
            Task { [own] in await self.fly(representation, own, source) }
        }
        for (id, flight) in joined { found[id] = try await flight.wait() }
        return found
    }

    /// Asks Postgres about everything, for this caller alone: what others asked for a moment ago may be older than what it knows of.
    private func confirmedLookUp(
        _ representation: Representation, _ ids: [EntityID], _ source: EntitySource
    ) async throws(Problem) -> [EntityID: Lookup] {
        let now = ContinuousClock.now
        let unconfirmed = state.withLock { state in
            var bodies: [EntityID: CachedBody] = [:]
            for id in ids { bodies[id] = state.local.value(for: Key(representation: representation, id: id), now: now)?.body }
            return bodies
        }
        var found = try await confirmed(representation.kind, unconfirmed, source).mapValues { Lookup(tier: .l1, body: $0) }
        let missing = Set(ids).filter { found[$0] == nil }
        guard !missing.isEmpty else { return found }
        let loaded = try await source.load(Array(missing))
        try await learn(representation.kind, loaded)
        for id in missing {
            let body = loaded[id] ?? .absent
            found[id] = Lookup(tier: .miss, body: body)
            if body.isComplete { state.withLock { keep(body, Key(representation: representation, id: id), era: nil, in: &$0) } }
        }
        return found
    }

    /// Those of `bodies` that are at the version that Postgres has now.
    func confirmed(
        _ kind: Announcement.Kind, _ bodies: [EntityID: CachedBody], _ source: EntitySource
    ) async throws(Problem) -> [EntityID: CachedBody] {
        guard let versions = source.versions, !bodies.isEmpty else { return [:] }
        let current = try await versions(Array(bodies.keys))
        try await learn(kind, current)
        // What is not there is at version 0.
        return bodies.filter { id, body in current[id] ?? 0 == body.version }
    }

    private static let absentLifetime = Duration.seconds(5)

    func keep(_ body: CachedBody, _ key: Key, era: UInt64?, in state: inout State) {
        let lifetime = body.exists ? limits.localLifetime : min(limits.localLifetime, Self.absentLifetime)
        state.local.insert(Kept(body: body, era: era), for: key, cost: body.cost, expires: .now + lifetime)
    }

    /// What `source` says, past both tiers, for a caller who asked for that. Nothing is stored; what is older than this goes.
    public func lookUpPastTiers(
        _ representation: Representation, _ ids: [EntityID], from source: EntitySource
    ) async throws(Problem) -> [Lookup] {
        for _ in ids { observer.observe(.cacheLookup(.bypass)) }
        let loaded = try await source.load(ids)
        try await learn(representation.kind, loaded)
        return ids.map { Lookup(tier: .bypass, body: loaded[$0] ?? .absent) }
    }

    /// Bytes and entries in memory, for metrics.
    public var localSize: (bytes: Int, entries: Int) {
        state.withLock { ($0.local.cost, $0.local.count) }
    }
}

extension BatchLoader {
    fileprivate func found(for keys: [Key]) async throws(Problem) -> [Key: Value] {
        let values = try await values(for: keys)
        return Dictionary(zip(keys, values).compactMap { key, value in value.map { (key, $0) } }) { first, _ in first }
    }
}
