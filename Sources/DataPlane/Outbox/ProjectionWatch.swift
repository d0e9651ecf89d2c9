import Contract
import PostgresClient
import Synchronization

/// Lets whoever has written wait until the copies show it: told by this process's own relay, and where another gateway's relay was
/// faster, by the outbox, which then has no row of it any more.
public final class ProjectionWatch: Sendable {
    private struct Key: Hashable {
        let kind: Announcement.Kind
        let id: EntityID
    }

    /// What somebody waits for.
    private struct Commit: Hashable {
        let key: Key
        let version: Int64
    }

    private struct Waiter {
        let version: Int64
        let continuation: UnsafeContinuation<Bool, Never>
    }

    private struct State {
        /// The newest version heard of, for as long as somebody may ask.
        var shown: [Key: Int64] = [:]
        var expectations: [Key: Int] = [:]
        var waiters: [Key: [UInt64: Waiter]] = [:]
        var next: UInt64 = 0
    }

    /// Who waits long asks together with the others who do.
    private let deliveries: BatchLoader<Commit, Bool>
    private let state = Mutex(State())

    public init(postgres: PostgresAccess, observer: any Observer) {
        deliveries = BatchLoader(kind: "delivery", observer: observer) { commits throws(Problem) in
            try await Self.delivered(commits, postgres)
        }
    }

    /// Runs `write`, which commits a version, then waits until that version is shown, for no longer than `limit`. Returns what `write`
    /// did, and whether it is shown. Listening begins before the write, so no delivery is missed. Throws only what `write` throws.
    public func after<Value: Sendable>(
        _ kind: Announcement.Kind, _ id: EntityID, within limit: Duration,
        _ write: () async throws(Problem) -> (value: Value, version: Int64)
    ) async throws(Problem) -> (value: Value, isShown: Bool) {
        let key = Key(kind: kind, id: id)
        state.withLock { $0.expectations[key, default: 0] += 1 }
        defer {
            state.withLock { state in
                let left = (state.expectations[key] ?? 1) - 1
                state.expectations[key] = left > 0 ? left : nil
                if left <= 0 { state.shown[key] = nil }
            }
        }
        let written = try await write()
        let deadline = ContinuousClock.now + limit
        // Longer from time to time: a store that is away is not asked more often than that.
        var patience = Duration.milliseconds(50)
        while ContinuousClock.now < deadline {
            if await reach(written.version, key, within: min(patience, deadline - .now)) { return (written.value, true) }
            if await isDelivered(written.version, key) { return (written.value, true) }
            patience = patience * 2
        }
        return (written.value, false)
    }

    // A dead letter was not delivered; one of an older version says nothing of a newer one, whose own row is gone.
    private static let undelivered = PostgresStatement<Int32>(
        """
        SELECT number::int FROM unnest($1::text[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS asked (kind, id, version, number)
        WHERE EXISTS (
            SELECT FROM outbox
            WHERE aggregate_type = asked.kind AND aggregate_id = asked.id
                AND (outbox.version = asked.version OR outbox.version < asked.version AND state = 'pending'))
        """
    ) { row throws(PostgresError) in try row.int32(0) }

    private static func delivered(_ commits: [Commit], _ postgres: PostgresAccess) async throws(Problem) -> [Commit: Bool] {
        let undelivered = try await postgres.rows(
            Self.undelivered,
            [
                .texts(commits.map(\.key.kind.rawValue)), .uuids(commits.map(\.key.id.rawValue)), .int64s(commits.map(\.version)),
            ], as: .system, within: .seconds(1))
        var delivered = Dictionary(commits.map { ($0, true) }) { first, _ in first }
        for number in undelivered { delivered[commits[Int(number) - 1]] = false }
        return delivered
    }

    /// Whether the outbox says so; where Postgres does not answer, it says nothing.
    private func isDelivered(_ version: Int64, _ key: Key) async -> Bool {
        do throws(Problem) { return try await deliveries.value(for: Commit(key: key, version: version)) == true } catch { return false }
    }

    /// Says what the copies show now.
    func heard(_ announcements: [Announcement]) {
        let resumed = state.withLock { state in
            var resumed: [UnsafeContinuation<Bool, Never>] = []
            for announcement in announcements {
                let key = Key(kind: announcement.kind, id: announcement.id)
                guard state.expectations[key] != nil else { continue }
                state.shown[key] = max(state.shown[key] ?? 0, announcement.version)
                for (number, waiter) in state.waiters[key] ?? [:] where waiter.version <= announcement.version {
                    state.waiters[key]?[number] = nil
                    resumed.append(waiter.continuation)
                }
                if state.waiters[key]?.isEmpty == true { state.waiters[key] = nil }
            }
            return resumed
        }
        for continuation in resumed { continuation.resume(returning: true) }
    }

    private func reach(_ version: Int64, _ key: Key, within limit: Duration) async -> Bool {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        let timer = Mutex<Task<Void, Never>?>(nil)
        defer { timer.withLock { $0?.cancel() } }
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let isDecided: Bool? = state.withLock { state in
                    if state.shown[key] ?? 0 >= version { return true }
                    if Task.isCancelled { return false }
                    state.waiters[key, default: [:]][number] = Waiter(version: version, continuation: continuation)
                    return nil
                }
                if let isDecided { return continuation.resume(returning: isDecided) }
                // Begun once the waiter is there, so that it finds whom it is to wake.
                let running = Task {
                    guard (try? await Task.sleep(for: limit)) != nil else { return }
                    giveUp(number, key)
                }
                timer.withLock { $0 = running }
            }
        } onCancel: {
            giveUp(number, key)
        }
    }

    private func giveUp(_ number: UInt64, _ key: Key) {
        let waiter = state.withLock { $0.waiters[key]?.removeValue(forKey: number) }
        waiter?.continuation.resume(returning: false)
    }
}
