import Synchronization

/// What is published on some channels, as a sequence for one task at a time. It ends when the client shuts down or the task is cancelled;
/// letting go of it closes its connection.
public struct RedisSubscription: AsyncSequence, Sendable {
    public enum Event: Sendable, Hashable {
        /// From here on every message is heard. What was published before may have been missed.
        case subscribed
        case message(channel: String, payload: [UInt8])
        /// Messages may have been missed: the connection was lost, or the listener did not keep up. `subscribed` follows once that is over.
        case gap
    }

    public struct Iterator: AsyncIteratorProtocol {
        let handle: Handle

        public mutating func next() async -> Event? { await handle.mailbox.next() }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> Event? { await handle.mailbox.next() }
    }

    /// Closes the connection once the sequence and its iterators are gone.
    final class Handle: Sendable {
        let mailbox: Mailbox
        private let subscriber: Subscriber

        init(_ subscriber: Subscriber, _ mailbox: Mailbox) { (self.subscriber, self.mailbox) = (subscriber, mailbox) }

        deinit {
            let subscriber = subscriber
            subscriber.perform { $0.close() }
        }
    }

    private let handle: Handle

    init(_ subscriber: Subscriber, _ mailbox: Mailbox) { handle = Handle(subscriber, mailbox) }

    public func makeAsyncIterator() -> Iterator { Iterator(handle: handle) }
}

/// Events that a listener has not yet taken, up to a bound. A pure value.
struct EventBuffer {
    private let limit: Int
    private let byteLimit: Int
    private var events = Queue<RedisSubscription.Event>()
    private var bytes = 0

    init(limit: Int, bytes: Int) {
        self.limit = limit
        byteLimit = bytes
    }

    /// Adds an event. False where it does not fit: then it and what was kept are dropped, and a gap stands in their place. The connection
    /// still stands, so all that follows is heard again.
    mutating func append(_ event: RedisSubscription.Event) -> Bool {
        bytes += Self.size(event)
        guard events.count < limit, bytes <= byteLimit else {
            events.removeAll()
            events.append(.gap)
            events.append(.subscribed)
            bytes = 0
            return false
        }
        events.append(event)
        return true
    }

    mutating func popFirst() -> RedisSubscription.Event? {
        guard let event = events.popFirst() else { return nil }
        bytes -= Self.size(event)
        return event
    }

    private static func size(_ event: RedisSubscription.Event) -> Int {
        guard case .message(let channel, let payload) = event else { return 0 }
        return channel.utf8.count + payload.count
    }
}

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
