import Contract
import Synchronization

/// One load that any number of requests wait for. Finished exactly once, whatever becomes of the request that began it.
final class Flight<Value: Sendable>: Sendable {
    typealias Outcome = Result<Value, Problem>

    private struct State {
        var outcome: Outcome?
        var waiters: [UnsafeContinuation<Outcome, Never>] = []
    }

    private let state = Mutex(State())

    func finish(_ outcome: Outcome) {
        let waiters = state.withLock { state in
            guard state.outcome == nil else { return [UnsafeContinuation<Outcome, Never>]() }
            state.outcome = outcome
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: outcome) }
    }

    func wait() async throws(Problem) -> Value {
        let outcome = await withUnsafeContinuation { (continuation: UnsafeContinuation<Outcome, Never>) in
            let outcome = state.withLock { state in
                if state.outcome == nil { state.waiters.append(continuation) }
                return state.outcome
            }
            if let outcome { continuation.resume(returning: outcome) }
        }
        return try outcome.get()
    }
}
