import Synchronization

/// Hands events from the reactor's thread to a listening task.
final class Mailbox: Sendable {
    private struct State {
        var buffer: EventBuffer
        var listener: UnsafeContinuation<RedisSubscription.Event?, Never>?
        var isEnded = false
    }

    private let state: Mutex<State>

    init(limit: Int, bytes: Int) { state = Mutex(State(buffer: EventBuffer(limit: limit, bytes: bytes))) }

    /// False where the buffer overflowed.
    func put(_ event: RedisSubscription.Event) -> Bool {
        let (listener, fits): (UnsafeContinuation<RedisSubscription.Event?, Never>?, Bool) = state.withLock { state in
            if let listener = state.listener.take() { return (listener, true) }
            return (nil, state.isEnded || state.buffer.append(event))
        }
        listener?.resume(returning: event)
        return fits
    }

    /// Nothing follows. What was put before is still handed out.
    func end() {
        let listener = state.withLock { state in
            state.isEnded = true
            return state.listener.take()
        }
        listener?.resume(returning: nil)
    }

    /// The next event, as soon as there is one; nil at the end, and where the task is cancelled.
    func next() async -> RedisSubscription.Event? {
        guard !Task.isCancelled else { return nil }
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                enum Answer { case now(RedisSubscription.Event?), later }
                let answer: Answer = state.withLock { state in
                    if let event = state.buffer.popFirst() { return .now(event) }
                    // A second listener would be against the rules; it gets the end, as does one whose task was cancelled meanwhile.
                    guard !state.isEnded, state.listener == nil, !Task.isCancelled else { return .now(nil) }
                    state.listener = continuation
                    return .later
                }
                if case .now(let event) = answer { continuation.resume(returning: event) }
            }
        } onCancel: {
            state.withLock { $0.listener.take() }?.resume(returning: nil)
        }
    }
}
