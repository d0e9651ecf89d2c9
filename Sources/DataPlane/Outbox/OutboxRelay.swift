import Contract
import CrashPoints
import PostgresClient
import Synchronization

/// Delivers what transactions left in one lane of the outbox: copies first, then caches, then the row goes.
///
/// Any number of relays may run; leases keep them apart, and version fences make a delivery that happens twice harmless. A row says
/// only that something changed: the state is read anew, so many rows of one aggregate are one delivery.
public final class OutboxRelay: Sendable {
    private let lane: OutboxLane
    private let store: OutboxStore
    private let projectors: [String: any Projector]
    private let cache: EntityCache
    private let watch: ProjectionWatch?
    private let observer: any Observer
    private let wake = WakeUp()
    private let isStopped = Atomic(false)
    /// The lease that could not be ended because Postgres was away, until it has run out by itself.
    private let abandoned = Mutex<(token: EntityID, end: ContinuousClock.Instant)?>(nil)
    private let reach = Mutex(ClaimReach())

    /// `projectors` are those of the lane; `watch` hears of every delivery.
    public init(
        _ lane: OutboxLane = .copies, postgres: PostgresAccess, projectors: [any Projector], cache: EntityCache,
        watch: ProjectionWatch? = nil, observer: any Observer
    ) {
        self.lane = lane
        store = OutboxStore(postgres: postgres, lane: lane)
        self.projectors = Dictionary(projectors.map { ($0.kind.rawValue, $0) }) { first, _ in first }
        self.cache = cache
        self.watch = watch
        self.observer = observer
    }

    /// Says that a transaction of this process has committed: there is something to deliver.
    public func poke() { wake.signal() }

    /// Delivers until `stop`. A delivery that has begun is finished, so that no lease is left behind, unless the task is cancelled.
    public func run() async {
        // Not yet, but what is there when a gateway starts may be what it wrote before it died.
        var isWoken = true
        while !isStopped.load(ordering: .acquiring), !Task.isCancelled {
            let start = ContinuousClock.now
            switch await deliver(courtesy: isWoken ? .zero : lane.courtesy) {
            case .delivered(let count) where count >= lane.batch: continue
            case .delivered(let count):
                if count > 0, isWoken { await gather(since: start) }
                isWoken = await wake.wait(atMost: lane.idle)
            case .failed: isWoken = await wake.wait(atMost: lane.outage)
            }
        }
    }

    /// Lets what is being written share the next delivery, unless this one has taken long enough for that.
    private func gather(since start: ContinuousClock.Instant) async {
        guard start + lane.pace > .now else { return }
        // Cancelled, it returns at once, and `run` ends.
        try? await Task.sleep(until: start + lane.pace, tolerance: .zero)
    }

    /// Ends `run` after the delivery under way.
    public func stop() {
        isStopped.store(true, ordering: .releasing)
        wake.signal()
    }

    /// Delivers until nothing is pending, whoever left it there. Throws the last problem where that takes longer than `limit`.
    public func drain(within limit: Duration) async throws(Problem) {
        let deadline = ContinuousClock.now + limit
        while true {
            let delivery = await deliver(everything: true)
            if case .delivered(let count) = delivery, count > 0 { continue }
            guard try await store.hasPending() else { return }
            guard ContinuousClock.now < deadline else {
                if case .failed(let problem) = delivery { throw problem }
                throw Problem(.timeout, "Some changes are not delivered yet; a running gateway goes on with them.")
            }
            await wake.wait(atMost: lane.idle)
        }
    }

    /// Rows that were refused so often that nobody tries again.
    public func deadLetters() async throws(Problem) -> Int64 { try await store.deadLetters() }

    /// Rows that still wait to be delivered.
    public func waiting() async throws(Problem) -> Int64 { try await store.countWaiting() }

    private enum Delivery {
        case delivered(Int)
        case failed(Problem)
    }

    private func claim(_ token: EntityID, everything: Bool, courtesy: Duration) async throws(Problem) -> [OutboxRow] {
        let start = ContinuousClock.now
        let span = everything ? ClaimReach.everything : reach.withLock { $0.span(at: start) }
        let rows: [OutboxRow]
        do throws(Problem) { rows = try await store.claim(token: token, back: span, courtesy: courtesy) } catch {
            reach.withLock { $0.failed(from: start, to: .now) }
            throw error
        }
        reach.withLock { $0.claimed(back: span, from: start, to: .now, isFull: rows.count >= lane.batch) }
        return rows
    }

    /// One lease's worth of what has been due for as long as `courtesy`.
    private func deliver(everything: Bool = false, courtesy: Duration = .zero) async -> Delivery {
        let token = EntityID(rawValue: .random(in: .min ... .max))
        let start = ContinuousClock.now
        do throws(Problem) { try await releaseAbandoned() } catch { return .failed(error) }
        let rows: [OutboxRow]
        do throws(Problem) {
            rows = try await claim(token, everything: everything, courtesy: courtesy)
        } catch { return abandon(token, error) }
        guard !rows.isEmpty else { return .delivered(0) }
        crash(at: .relayAfterClaim)
        do throws(Problem) {
            var count = 0
            var failure: Problem?
            // What fails for one kind keeps no other from being delivered.
            for (kind, ofKind) in Dictionary(grouping: rows, by: \.kind) {
                do throws(Problem) { count += try await deliver(kind, ofKind, token: token) } catch { failure = error }
                if ofKind.count < rows.count { crash(at: .relayBetweenKinds) }
            }
            if let failure { throw failure }
            observer.observe(.relayDelivered(count: count, microseconds: start.elapsedMicroseconds))
            return .delivered(rows.count)
        } catch {
            observer.observe(.relayFailed(error.missing.first, detail: error.detail))
            do throws(Problem) { try await store.postpone(rows.map(\.id), token: token) } catch { return abandon(token, error) }
            return .failed(error)
        }
    }

    /// Remembers a lease that this relay has, or has if only the answer was lost, and cannot end now. Should it never come to that, the
    /// lease runs out by itself.
    private func abandon(_ token: EntityID, _ problem: Problem) -> Delivery {
        abandoned.withLock { [lease = lane.lease] in $0 = (token, .now + lease) }
        return .failed(problem)
    }

    /// Ends it, before anything else is claimed, so that there is never more than one.
    private func releaseAbandoned() async throws(Problem) {
        guard let (token, end) = abandoned.withLock({ $0 }) else { return }
        if end > .now { try await store.release(token: token) }
        abandoned.withLock { $0 = nil }
    }

    /// Returns how many rows are delivered.
    private func deliver(_ kind: String, _ rows: [OutboxRow], token: EntityID) async throws(Problem) -> Int {
        guard let projector = projectors[kind] else {
            for row in rows { try await refuse(row, token, "unknown_kind", hopeless: false) }
            return 0
        }
        let projection: Projection
        do throws(Problem) {
            projection = try await project(Array(Set(rows.map(\.aggregate))), projector)
        } catch {
            // Whoever has committed announces it at once, but may have died before that, and the copies may be out of reach for long.
            if projector.isAnnounced {
                try await cache.announce(rows.map { Announcement(kind: projector.kind, id: $0.aggregate, version: $0.version) })
            }
            throw error
        }
        if projector.isAnnounced {
            var announcements: [Announcement] = []
            for (id, outcome) in projection.outcomes {
                if case .shown(let version) = outcome { announcements.append(Announcement(kind: projector.kind, id: id, version: version)) }
            }
            // The copies show it, whether or not caches can be told.
            defer { watch?.heard(announcements) }
            // Caches must have forgotten before the row goes, or a stale body could outlive everything that knows of it.
            try await cache.announce(announcements)
            crash(at: .relayAfterAnnouncement)
        }
        do throws(Problem) { try await projection.settle() } catch {
            guard error.code == .internal else { throw error }
            return try await deliverAlone(kind, rows, token: token)
        }
        var delivered: [Int64] = []
        var postponed: [Int64] = []
        for row in rows {
            switch projection.outcomes[row.aggregate] {
            case .shown(let version) where version >= row.version: delivered.append(row.id)
            case .refused(let reason): try await refuse(row, token, reason, hopeless: false)
            case .hopeless(let reason): try await refuse(row, token, reason, hopeless: true)
            case .shown, nil: postponed.append(row.id)
            }
        }
        try await store.acknowledge(delivered, token: token)
        try await store.postpone(postponed, token: token)
        // What caches do not hear of by itself may have left rows of what they do hear of, and more of its own.
        if !projector.isAnnounced { wake.signal() }
        return delivered.count
    }

    /// Where a batch fails for a reason that is no outage, one of it is at fault: alone, it is the only one to suffer.
    private func project(_ ids: [EntityID], _ projector: any Projector) async throws(Problem) -> Projection {
        do throws(Problem) { return try await projector.project(ids) } catch {
            guard error.code == .internal else { throw error }
            guard ids.count > 1 else { return Projection([ids[0]: .refused(reason: "projection_failed")]) }
        }
        var projection = Projection([:])
        for id in ids { projection.merge(try await project([id], projector)) }
        return projection
    }

    /// The same where what is shown could not be settled.
    private func deliverAlone(_ kind: String, _ rows: [OutboxRow], token: EntityID) async throws(Problem) -> Int {
        let aggregates = Dictionary(grouping: rows, by: \.aggregate)
        var count = 0
        if aggregates.count > 1 {
            for (_, rows) in aggregates { count += try await deliver(kind, rows, token: token) }
        } else {
            for row in rows { try await refuse(row, token, "settling_failed", hopeless: false) }
        }
        return count
    }

    private func refuse(_ row: OutboxRow, _ token: EntityID, _ reason: String, hopeless: Bool) async throws(Problem) {
        observer.observe(.relayRefused(kind: row.kind, id: row.aggregate, reason: reason))
        crash(at: .relayBeforeRefusal)
        try await store.refuse(row.id, token: token, reason: reason, hopeless: hopeless)
        crash(at: .relayAfterRefusal)
    }
}

/// Lets one task sleep until it is signalled or a time is over.
private final class WakeUp: Sendable {
    private struct State {
        var isSignalled = false
        var sleeper: UnsafeContinuation<Bool, Never>?
    }

    private let state = Mutex(State())

    func signal() { end(isSignal: true) }

    /// A signal that finds nobody asleep is kept for who sleeps next.
    private func end(isSignal: Bool) {
        let sleeper = state.withLock { state in
            if isSignal { state.isSignalled = state.sleeper == nil }
            defer { state.sleeper = nil }
            return state.sleeper
        }
        sleeper?.resume(returning: isSignal)
    }

    /// Whether a signal ended it.
    @discardableResult
    func wait(atMost duration: Duration) async -> Bool {
        // Cancelled where a signal came first, or it would end the next wait.
        let timer = Task {
            guard (try? await Task.sleep(for: duration)) != nil else { return }
            end(isSignal: false)
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let isSignalled = state.withLock { state in
                    defer { state.isSignalled = false }
                    if !state.isSignalled { state.sleeper = continuation }
                    return state.isSignalled
                }
                if isSignalled { continuation.resume(returning: true) }
            }
        } onCancel: {
            signal()
        }
    }
}
