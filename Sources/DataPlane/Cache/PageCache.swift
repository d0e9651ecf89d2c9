import Contract
import Synchronization

/// Remembers answers of whole queries for a moment, and asks each query once at a time.
///
/// For what no single version dates: pages of ids, totals, counts. They live seconds, and `removeAll` empties them at once.
public final class PageCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct State {
        var kept: LocalTier<Key, Value>
        var flights: [Key: Flight<Value>] = [:]
    }

    private let lifetime: Duration
    private let state: Mutex<State>

    /// Keeps at most `capacity` values, each for `lifetime`.
    public init(capacity: Int, lifetime: Duration) {
        self.lifetime = lifetime
        // Every value costs one: the bound is a count. LocalTier keeps nothing that costs more than an eighth of the whole.
        state = Mutex(State(kept: LocalTier(capacity: max(8, capacity))))
    }

    /// The value of a moment ago (`l1`), or what `load` brings (`miss`). Throws what `load` throws, which is not remembered.
    public func value(
        for key: Key, load: @escaping @Sendable () async throws(Problem) -> Value
    ) async throws(Problem) -> (value: Value, tier: CacheTier) {
        let now = ContinuousClock.now
        let (kept, flight, isOwn): (Value?, Flight<Value>?, Bool) = state.withLock { state in
            if let value = state.kept.value(for: key, now: now) { return (value, nil, false) }
            if let flight = state.flights[key] { return (nil, flight, false) }
            let flight = Flight<Value>()
            state.flights[key] = flight
            return (nil, flight, true)
        }
        if let kept { return (kept, .l1) }
        guard let flight else { return (try await load(), .miss) }
        if isOwn {
            Task {
                do throws(Problem) {
                    let value = try await load()
                    land(key, flight, value)
                    flight.finish(.success(value))
                } catch {
                    land(key, flight, nil)
                    flight.finish(.failure(error))
                }
            }
        }
        return (try await flight.wait(), .miss)
    }

    /// Forgets everything; what is being loaded now is not kept.
    public func removeAll() {
        state.withLock { state in
            state.kept.removeAll()
            state.flights.removeAll()
        }
    }

    private func land(_ key: Key, _ flight: Flight<Value>, _ value: Value?) {
        state.withLock { state in
            guard state.flights[key] === flight else { return }
            state.flights[key] = nil
            if let value { state.kept.insert(value, for: key, cost: 1, expires: .now + lifetime) }
        }
    }
}
