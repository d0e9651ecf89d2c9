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

/// Final bytes of public entities in two tiers: this process's memory over Redis.
///
/// A miss is loaded once in this process (`Flight`) and once among all processes (a lease in Redis). What was announced as newer
/// while a load was under way is never stored: an announcement detaches the flights of its entity and voids their leases. Sessions,
/// carts, balances and payments never come here.
public final class EntityCache: Sendable {
    public typealias Load = @Sendable ([EntityID]) async throws(Problem) -> [EntityID: CachedBody]

    /// The bounds of the cache.
    public struct Limits: Sendable {
        /// Bytes of memory that bodies may take in this process.
        public var localBytes: Int
        /// Life of a body in memory while announcements of other processes are heard.
        public var localLifetime: Duration
        /// The same while they are not.
        public var deafLifetime: Duration
        /// What one call of Redis may cost a request.
        public var sharedDeadline: Duration

        public init(
            localBytes: Int = 64 << 20, localLifetime: Duration = .seconds(60), deafLifetime: Duration = .seconds(1),
            sharedDeadline: Duration = .milliseconds(50)
        ) {
            self.localBytes = localBytes
            self.localLifetime = localLifetime
            self.deafLifetime = deafLifetime
            self.sharedDeadline = sharedDeadline
        }
    }

    private struct Key: Hashable {
        let representation: Representation
        let id: EntityID
    }

    private struct State {
        var local: LocalTier<Key, CachedBody>
        var flights: [Key: Flight<Lookup>] = [:]
        var isListening = false
    }

    private let representations: [Representation]
    private let limits: Limits
    private let shared: SharedTier?
    private let observer: any Observer
    private let state: Mutex<State>
    private let onAnnouncement: @Sendable ([Announcement]?) -> Void

    /// `representations` are all that are ever cached, so that an announcement reaches each. `onAnnouncement` hears every
    /// announcement that reaches this process, its own included; nil says that some may have been missed.
    public init(
        representations: [Representation], limits: Limits = Limits(), redis: RedisClient?, observer: any Observer,
        onAnnouncement: @escaping @Sendable ([Announcement]?) -> Void = { _ in }
    ) {
        self.representations = representations
        self.limits = limits
        self.observer = observer
        self.onAnnouncement = onAnnouncement
        shared = redis.map { SharedTier(redis: $0, deadline: limits.sharedDeadline, observer: observer) }
        state = Mutex(State(local: LocalTier(capacity: limits.localBytes)))
    }

    // MARK: Reading

    /// The body if this process has it. Never waits.
    public func local(_ representation: Representation, _ id: EntityID) -> CachedBody? {
        let now = ContinuousClock.now
        let body = state.withLock { $0.local.value(for: Key(representation: representation, id: id), now: now) }
        if body != nil { observer.observe(.cacheLookup(.l1)) }
        return body
    }

    /// The bodies of `ids` in their order, from the nearest tier that has each; `load` fetches the rest together.
    ///
    /// Throws only what `load` throws. A failed load is not remembered.
    public func lookUp(_ representation: Representation, _ ids: [EntityID], load: @escaping Load) async throws(Problem) -> [Lookup] {
        var found: [EntityID: Lookup] = Dictionary(minimumCapacity: ids.count)
        var joined: [(EntityID, Flight<Lookup>)] = []
        var own: [EntityID: Flight<Lookup>] = [:]
        let now = ContinuousClock.now
        state.withLock { state in
            for id in ids {
                let key = Key(representation: representation, id: id)
                if let body = state.local.value(for: key, now: now) {
                    found[id] = Lookup(tier: .l1, body: body)
                } else if let flight = state.flights[key] {
                    joined.append((id, flight))
                } else {
                    let flight = Flight<Lookup>()
                    state.flights[key] = flight
                    own[id] = flight
                    joined.append((id, flight))
                }
            }
        }
        if !own.isEmpty {
            // Not the request's own task: the load outlives a caller that goes away, and the others still get their answer.
            Task { [own] in await self.fly(representation, own, load) }
        }
        for (id, flight) in joined { found[id] = try await flight.wait() }
        return ids.map { id in
            let lookup = found[id] ?? Lookup(tier: .miss, body: .absent)
            observer.observe(.cacheLookup(lookup.tier))
            return lookup
        }
    }

    /// Brings all of `flights` down: from Redis where it has them, else by one `load`.
    private func fly(_ representation: Representation, _ flights: [EntityID: Flight<Lookup>], _ load: Load) async {
        var missing: [EntityID] = []
        var leases: [EntityID: [UInt8]] = [:]
        let ids = Array(flights.keys)
        if let shared {
            let keys = ids.map { representation.sharedKey($0) }
            var theirs: [EntityID] = []
            for (id, entry) in zip(ids, await shared.findOrLease(keys)) {
                switch entry {
                case .body(let body): land(representation, id, flights[id], Lookup(tier: .l2, body: body))
                case .mine(let lease):
                    leases[id] = lease
                    missing.append(id)
                case .theirs: theirs.append(id)
                case .unavailable: missing.append(id)
                }
            }
            missing += await awaitOthers(theirs, representation, flights, shared)
        } else {
            missing = ids
        }
        guard !missing.isEmpty else { return }
        do throws(Problem) {
            let loaded = try await load(missing)
            var fills: [SharedTier.Fill] = []
            for id in missing {
                let body = loaded[id] ?? .absent
                land(representation, id, flights[id], Lookup(tier: .miss, body: body))
                guard let lease = leases[id], body.isComplete else { continue }
                leases[id] = nil
                fills.append(
                    SharedTier.Fill(
                        key: representation.sharedKey(id), floorKey: Representation.floorKey(representation.kind, id), lease: lease,
                        body: body, lifetime: representation.lifetime))
            }
            await shared?.fill(fills)
        } catch {
            for id in missing { abandon(representation, id, flights[id], error) }
        }
        await shared?.release(leases.map { (representation.sharedKey($0), $1) })
    }

    /// Gives the process that holds a lease a little time; what it has not brought by then is loaded here, and not stored.
    private func awaitOthers(
        _ ids: [EntityID], _ representation: Representation, _ flights: [EntityID: Flight<Lookup>], _ shared: SharedTier
    ) async -> [EntityID] {
        var waiting = ids
        for pause in [5, 15, 30] where !waiting.isEmpty {
            try? await Task.sleep(for: .milliseconds(pause))
            var still: [EntityID] = []
            for (id, entry) in zip(waiting, await shared.find(waiting.map { representation.sharedKey($0) })) {
                if case .body(let body) = entry {
                    land(representation, id, flights[id], Lookup(tier: .l2, body: body))
                } else {
                    still.append(id)
                }
            }
            waiting = still
        }
        return waiting
    }

    private static let absentLifetime = Duration.seconds(5)

    /// Stores a complete body, unless an announcement has detached its flight meanwhile, and answers all who wait for it.
    private func land(_ representation: Representation, _ id: EntityID, _ flight: Flight<Lookup>?, _ lookup: Lookup) {
        guard let flight else { return }
        let key = Key(representation: representation, id: id)
        let stored = state.withLock { state in
            guard state.flights[key] === flight else { return false }
            state.flights[key] = nil
            guard lookup.body.isComplete else { return true }
            let lifetime = state.isListening ? limits.localLifetime : limits.deafLifetime
            let expires = ContinuousClock.now + (lookup.body.exists ? lifetime : min(lifetime, Self.absentLifetime))
            state.local.insert(lookup.body, for: key, cost: lookup.body.cost, expires: expires)
            return true
        }
        if !stored { observer.observe(.cacheFillRefused) }
        flight.finish(.success(lookup))
    }

    private func abandon(_ representation: Representation, _ id: EntityID, _ flight: Flight<Lookup>?, _ problem: Problem) {
        guard let flight else { return }
        let key = Key(representation: representation, id: id)
        state.withLock { if $0.flights[key] === flight { $0.flights[key] = nil } }
        flight.finish(.failure(problem))
    }

    /// The same, with what `loader` brings.
    public func lookUp(
        _ representation: Representation, _ ids: [EntityID], from loader: BatchLoader<EntityID, CachedBody>
    ) async throws(Problem) -> [Lookup] {
        try await lookUp(representation, ids) { missing throws(Problem) in
            let bodies = try await loader.values(for: missing)
            return Dictionary(zip(missing, bodies).compactMap { id, body in body.map { (id, $0) } }) { first, _ in first }
        }
    }

    /// What `loader` says, past both tiers, for a caller who asked for that. Nothing is stored.
    public func lookUpPastTiers(_ ids: [EntityID], from loader: BatchLoader<EntityID, CachedBody>) async throws(Problem) -> [Lookup] {
        for _ in ids { observer.observe(.cacheLookup(.bypass)) }
        return try await loader.values(for: ids).map { Lookup(tier: .bypass, body: $0 ?? .absent) }
    }

    // MARK: Announcements

    /// From the moment this returns, this gateway serves nothing older than what is announced, and Redis holds nothing older. The others
    /// drop what they have in memory when the message reaches them, or when they find that they no longer hear any.
    ///
    /// Throws where Redis could not be told; the caller tells it again later. This process has forgotten either way.
    public func announce(_ announcements: [Announcement]) async throws(RedisError) {
        observer.observe(.cacheInvalidated(count: announcements.count))
        forget(announcements)
        guard let shared else { return }
        defer { forget(announcements) }
        try await shared.drop(announcements, representations: representations)
    }

    private func forget(_ announcements: [Announcement]) {
        state.withLock { state in
            for announcement in announcements {
                for representation in representations where representation.kind == announcement.kind {
                    let key = Key(representation: representation, id: announcement.id)
                    state.local.removeValue(for: key)
                    state.flights[key] = nil
                }
            }
        }
        onAnnouncement(announcements)
    }

    private func forgetEverything(listening: Bool) {
        state.withLock { state in
            state.isListening = listening
            state.local.removeAll()
            state.flights.removeAll()
        }
        onAnnouncement(nil)
    }

    /// Hears what other gateways announce, until the task is cancelled. Whatever may have been missed empties the memory.
    public func listen(on redis: RedisClient) async {
        for await event in redis.subscribe(channels: [SharedTier.channel]) {
            switch event {
            case .subscribed: forgetEverything(listening: true)
            case .gap: forgetEverything(listening: false)
            case .message(_, let payload):
                if let announcements = SharedTier.decode(payload) { forget(announcements) } else { forgetEverything(listening: true) }
            }
        }
    }

    /// Bytes and entries in memory, for metrics.
    public var localSize: (bytes: Int, entries: Int) {
        state.withLock { ($0.local.cost, $0.local.count) }
    }
}
