import Contract
import Synchronization

/// Remembers answers of whole queries for a moment, and asks each query once at a time.
///
/// For what no single version dates: pages of ids, totals, counts. They live seconds, `removeAll` empties them at once, and while nobody is
/// sure to hear of changes they live a tenth of one.
public final class PageCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Kept {
        let value: Value
        /// When it began to be read.
        let since: ContinuousClock.Instant
    }

    private struct State {
        var kept: LocalTier<Key, Kept>
        var flights: [Key: Flight<Value>] = [:]
    }

    /// How a query is answered: from what is kept, by the load that is under way, or by one that whoever asks begins.
    private enum Answer {
        case kept(Value)
        case underway(Flight<Value>)
        case begun(Flight<Value>)
    }

    private static var untrustedLifetime: Duration { .milliseconds(100) }

    private let lifetime: Duration
    private let isTrusted: @Sendable () -> Bool
    private let state: Mutex<State>

    /// Keeps at most `capacity` values, each for `lifetime`. `isTrusted` says whether this process is sure to hear of what changes them.
    public init(capacity: Int, lifetime: Duration, isTrusted: @escaping @Sendable () -> Bool = { true }) {
        self.lifetime = lifetime
        self.isTrusted = isTrusted
        // Every value costs one: the bound is a count. LocalTier keeps nothing that costs more than an eighth of the whole.
        state = Mutex(State(kept: LocalTier(capacity: max(8, capacity))))
    }

    /// The value of a moment ago (`l1`), or what `load` brings (`miss`). Throws what `load` throws, which is not remembered.
    public func value(
        for key: Key, load: @escaping @Sendable () async throws(Problem) -> Value
    ) async throws(Problem) -> (value: Value, tier: CacheTier) {
        let now = ContinuousClock.now
        let oldest = isTrusted() ? nil : now - Self.untrustedLifetime
        let answer: Answer = state.withLock { state in
            if let kept = state.kept.value(for: key, now: now), oldest.map({ $0 <= kept.since }) ?? true { return .kept(kept.value) }
            if let flight = state.flights[key] { return .underway(flight) }
            let flight = Flight<Value>()
            state.flights[key] = flight
            return .begun(flight)
        }
        switch answer {
        case .kept(let value): return (value, .l1)
        case .underway(let flight): return (try await flight.wait(), .miss)
        case .begun(let flight):
            Task {
                do throws(Problem) {
                    let value = try await load()
                    land(key, flight, Kept(value: value, since: now))
                    flight.finish(.success(value))
                } catch {
                    land(key, flight, nil)
                    flight.finish(.failure(error))
                }
            }
            return (try await flight.wait(), .miss)
        }
    }

    /// Forgets everything; what is being loaded now is not kept.
    public func removeAll() {
        state.withLock { state in
            state.kept.removeAll()
            state.flights.removeAll()
        }
    }

    private func land(_ key: Key, _ flight: Flight<Value>, _ value: Kept?) {
        state.withLock { state in
            guard state.flights[key] === flight else { return }
            state.flights[key] = nil
            if let value { state.kept.insert(value, for: key, cost: 1, expires: .now + lifetime) }
        }
    }
}
