/// What is published on some channels, as a sequence for one task at a time. It ends when the client shuts down or the task is cancelled;
/// letting go of it closes its connection.
public struct RedisSubscription: AsyncSequence, Sendable {
    /// What a listener hears.
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
