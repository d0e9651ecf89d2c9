import Contract
import CrashPoints
import DataPlane
import MongoClient

/// Builds the search index anew from its owners, beside the one that lists are answered from, and exchanges the two in one step.
///
/// Nothing is lost, and no list is ever empty or half: the rebuild is registered in Postgres before it reads the first beat. A delivery
/// that reads its beats after that writes them to both indexes, the new one first; one that read them before, read no newer state than
/// the rebuild is going to read. So the new index has everything at every moment from the last page on, and there is nothing to catch up
/// with when it takes the old one's place.
///
/// May be killed at any moment and run again: an index that was left behind is dropped, and a new one begun. Of two at once, one is
/// refused; one that was frozen while another took over finds its index dropped, and exchanges nothing, since it names that by MongoDB's
/// own id for it.
public struct SearchRebuild: Sendable {
    /// Makes a collection of this name that is made as the search index is, validator, indexes and all.
    public typealias Make = @Sendable (_ name: String) async throws(Problem) -> Void

    private static let lease = "rebuild search_index"
    private static let page = 500
    /// What a delivery may take, whose relay then dies: no longer can anybody write to an index that has taken the other's place.
    private static let lastDelivery = Duration.seconds(40)

    private let leases: LeaseStore
    private let registry: SearchRebuildRegistry
    private let collections: SearchRebuildCollections
    private let projector: BeatProjector
    private let observer: any Observer
    private let make: Make

    public init(postgres: PostgresAccess, mongo: MongoAccess, observer: any Observer, make: @escaping Make) {
        leases = LeaseStore(postgres: postgres)
        registry = SearchRebuildRegistry(postgres: postgres)
        collections = SearchRebuildCollections(mongo: mongo)
        projector = BeatProjector(postgres: postgres, mongo: mongo)
        self.observer = observer
        self.make = make
    }

    /// Rebuilds the index; returns how many beats it was made of. `onProgress` hears how many are done, and of how many. Throws `conflict`
    /// where another rebuild is running; `storeUnavailable` or `overloaded`, and then everything is as it was before. What it could not
    /// clear away it has observed; the next rebuild or the next comparison of the copies does.
    public func run(onProgress: @escaping @Sendable (Int64, Int64) -> Void = { _, _ in }) async throws(Problem) -> Int64 {
        let count = try await leases.hold(Self.lease, isPatient: true) { lease throws(Problem) in try await rebuild(lease, onProgress) }
        guard let count else { throw Problem(.conflict, "The search index is being rebuilt already.") }
        return count
    }

    /// Takes away what a rebuild has left behind that was killed, or could not clear it away itself, unless one is running. Throws
    /// `storeUnavailable` or `overloaded`.
    public func clearAbandoned() async throws(Problem) {
        // A collection that is registered no more is left where nothing but dropping it failed.
        if try await registry.current() == nil, try await !collections.isAnyNext() { return }
        _ = try await leases.hold(Self.lease) { _ throws(Problem) in
            let abandoned = try await registry.current()
            try await collections.dropAllNext()
            if let abandoned { try await registry.clear(abandoned) }
        }
    }

    private func rebuild(_ lease: Lease, _ onProgress: @Sendable (Int64, Int64) -> Void) async throws(Problem) -> Int64 {
        let next = SearchIndex.nextPrefix + lease.holder
        // Whoever was killed or frozen before cannot exchange any more what is dropped here; only then is another registered.
        try await collections.dropAllNext()
        try await make(next)
        let count: Int64
        do throws(Problem) {
            guard let identity = try await collections.identity(of: next), try await registry.register(next, lease) else {
                throw Self.takenOver
            }
            count = try await fill(next, onProgress)
            try await collections.carryCounters(to: next)
            crash(at: .rebuildBeforeSwap)
            guard try await leases.renew(lease) else { throw Self.takenOver }
            try await collections.exchange(next, identity)
        } catch {
            await clearing(next) { () throws(Problem) in
                try await collections.drop(next)
                try await registry.clear(next)
            }
            throw error
        }
        crash(at: .rebuildAfterSwap)
        await clearing(next) { () throws(Problem) in try await retire(next) }
        return count
    }

    /// Whatever becomes of it, what the rebuild has come to stands.
    private func clearing(_ next: String, _ body: () async throws(Problem) -> Void) async {
        do throws(Problem) { try await body() } catch {
            observer.observe(.unexpectedError(id: nil, detail: "\(next) of a rebuild was not cleared away: \(error.detail)"))
        }
    }

    private static let takenOver = Problem(.conflict, "Another rebuild has taken over.")

    private func fill(_ next: String, _ onProgress: @Sendable (Int64, Int64) -> Void) async throws(Problem) -> Int64 {
        let all = try await registry.countBeats()
        var done: Int64 = 0
        var last = EntityID(rawValue: 0)
        while true {
            let ids = try await registry.beats(after: last, limit: Self.page)
            guard let end = ids.last else { return done }
            let refused = try await projector.fill(next, with: try await projector.states(ids))
            if !refused.isEmpty { try await collections.copyRows(of: refused, to: next) }
            crash(at: .rebuildWhileFilling)
            done += Int64(ids.count)
            last = end
            onProgress(done, max(done, all))
        }
    }

    /// Ends the double deliveries. One that is under way may still write to the name that is gone, and so make a collection of it: waits
    /// until there is none any more, and drops that.
    private func retire(_ next: String) async throws(Problem) {
        try await registry.clear(next)
        let deadline = ContinuousClock.now + Self.lastDelivery
        let underway = try await registry.claims()
        while ContinuousClock.now < deadline, try await registry.isAnyClaimed(underway) {
            // Cancelled, it goes on at once: the next look-up ends it.
            try? await Task.sleep(for: .milliseconds(50))
        }
        try await collections.drop(next)
    }
}
