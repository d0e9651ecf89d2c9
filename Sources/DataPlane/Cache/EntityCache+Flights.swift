import Contract
import Synchronization

/// How what is missing gets into the tiers.
extension EntityCache {
    /// What leaves together.
    struct Departure: Sendable {
        var flights: [EntityID: Flight<Lookup>] = [:]
        /// What memory has of an era that is over: still good where Postgres is at the same version.
        var unconfirmed: [EntityID: CachedBody] = [:]
        /// Nil where Redis is to be left alone.
        var access: CacheTrust.Access?
    }

    /// Brings all flights down: from Redis where it has them, else from memory that Postgres confirms, else by one load.
    func fly(_ representation: Representation, _ departure: Departure, _ source: EntitySource) async {
        let flights = departure.flights
        var missing: [EntityID] = []
        var leases: [EntityID: [UInt8]] = [:]
        let ids = Array(flights.keys)
        if let shared, let access = departure.access {
            let keys = ids.map { representation.sharedKey($0, access.generation) }
            var theirs: [EntityID] = []
            for (id, entry) in zip(ids, await shared.findOrLease(keys, access)) {
                switch entry {
                case .body(let body) where isNewest(body, representation.kind, id):
                    land(representation, id, flights[id], Lookup(tier: .l2, body: body))
                case .mine(let lease):
                    leases[id] = lease
                    missing.append(id)
                case .theirs: theirs.append(id)
                case .body, .unavailable: missing.append(id)
                }
            }
            missing += await awaitOthers(theirs, representation, flights, shared, access)
        } else {
            missing = ids
        }
        guard !missing.isEmpty else { return }
        do throws(Problem) {
            var bodies = try await confirmed(representation.kind, departure.unconfirmed.filter { missing.contains($0.key) }, source)
            let unknown = missing.filter { bodies[$0] == nil }
            if !unknown.isEmpty {
                let loaded = try await source.load(unknown)
                try await learn(representation.kind, loaded)
                bodies.merge(loaded) { kept, _ in kept }
            }
            for id in missing { land(representation, id, flights[id], Lookup(tier: .miss, body: bodies[id] ?? .absent)) }
            await fill(representation, bodies, &leases, departure.access)
        } catch {
            for id in missing { abandon(representation, id, flights[id], error) }
        }
        guard let access = departure.access else { return }
        await shared?.release(leases.map { (representation.sharedKey($0, access.generation), $1) })
    }

    /// Stores what is complete, and takes the leases that this uses up out of `leases`.
    private func fill(
        _ representation: Representation, _ bodies: [EntityID: CachedBody], _ leases: inout [EntityID: [UInt8]],
        _ access: CacheTrust.Access?
    ) async {
        guard let shared, let access else { return }
        var fills: [SharedTier.Fill] = []
        for (id, lease) in leases {
            let body = bodies[id] ?? .absent
            guard body.isComplete else { continue }
            leases[id] = nil
            fills.append(
                SharedTier.Fill(
                    key: representation.sharedKey(id, access.generation),
                    floorKey: Representation.floorKey(representation.kind, id, access.generation), lease: lease, body: body,
                    lifetime: representation.lifetime))
        }
        await shared.fill(fills)
    }

    /// Gives the process that holds a lease a little time; what it has not brought by then is loaded here, and not stored.
    private func awaitOthers(
        _ ids: [EntityID], _ representation: Representation, _ flights: [EntityID: Flight<Lookup>], _ shared: SharedTier,
        _ access: CacheTrust.Access
    ) async -> [EntityID] {
        var waiting = ids
        for pause in [5, 15, 30] where !waiting.isEmpty {
            // Cancelled, it looks at once, three times at most.
            try? await Task.sleep(for: .milliseconds(pause))
            var still: [EntityID] = []
            for (id, entry) in zip(waiting, await shared.find(waiting.map { representation.sharedKey($0, access.generation) }, access)) {
                if case .body(let body) = entry, isNewest(body, representation.kind, id) {
                    land(representation, id, flights[id], Lookup(tier: .l2, body: body))
                } else {
                    still.append(id)
                }
            }
            waiting = still
        }
        return waiting
    }

    /// Whether nothing newer was met here: of what is not there, whether it ever was.
    private func isNewest(_ body: CachedBody, _ kind: Announcement.Kind, _ id: EntityID) -> Bool {
        state.withLock { $0.newest.newest(kind, id) <= body.version }
    }

    /// Stores a complete body, unless an announcement or the end of an era has detached its flight meanwhile, and answers all who wait
    /// for it.
    private func land(_ representation: Representation, _ id: EntityID, _ flight: Flight<Lookup>?, _ lookup: Lookup) {
        guard let flight else { return }
        let key = Key(representation: representation, id: id)
        let isStored = state.withLock { state in
            guard state.flights[key] === flight else { return false }
            state.flights[key] = nil
            if lookup.body.isComplete { keep(lookup.body, key, era: state.trust.era, in: &state) }
            return true
        }
        if !isStored { observer.observe(.cacheFillRefused) }
        flight.finish(.success(lookup))
    }

    private func abandon(_ representation: Representation, _ id: EntityID, _ flight: Flight<Lookup>?, _ problem: Problem) {
        guard let flight else { return }
        let key = Key(representation: representation, id: id)
        state.withLock { if $0.flights[key] === flight { $0.flights[key] = nil } }
        flight.finish(.failure(problem))
    }
}
