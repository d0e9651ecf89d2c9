import Contract
import Credentials
import DataPlane
import Synchronization

/// What happens to mails after their commit: they are sent, counted while they wait, and forgotten when they are old. Any number of
/// gateways may do so at once.
public final class MailDelivery: Sendable {
    /// Nil where nobody has said which server takes mails. They wait in the outbox then.
    private let projector: MailProjector?
    private let relay: OutboxRelay
    private let store: MailStore
    private let observer: any Observer
    private let counts = Mutex(Counts())
    private let ending = AsyncStream<Never>.makeStream()

    /// Rows of the outbox.
    public struct Counts: Sendable, Equatable {
        /// Mails that are still to be sent.
        public var waiting = 0
        /// Mails that no server took.
        public var dead = 0
    }

    private static let countEvery = Duration.seconds(15)
    private static let forgetEvery = Duration.seconds(3600)
    /// How long it is kept who was written to.
    private static let memory = Duration.seconds(30 * 86_400)

    /// `seal` is the one for mails.
    public init(
        postgres: PostgresAccess, seal: Seal, sender: (any EmailSender)?, cache: EntityCache, observer: any Observer,
        lane: OutboxLane = .mails
    ) {
        store = MailStore(postgres: postgres)
        projector = sender.map { MailProjector(store: MailStore(postgres: postgres), seal: seal, sender: $0, observer: observer) }
        relay = OutboxRelay(lane, postgres: postgres, projectors: projector.map { [$0] } ?? [], cache: cache, observer: observer)
        self.observer = observer
    }

    /// Sends until `stop`; returns at once where no server is known.
    public func run() async {
        if projector != nil { await relay.run() }
        ending.continuation.finish()
    }

    /// Begins no other mail, and waits at most `limit` for those under way. One that is not through by then is sent again by another
    /// gateway, or by this one when it is back.
    public func stop(within limit: Duration) async {
        projector?.stop()
        relay.stop()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [stream = ending.stream] in for await _ in stream {} }
            // The bound of the wait: whichever ends first ends the other.
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    /// As last counted by `watch`.
    public var backlog: Counts { counts.withLock { $0 } }

    /// Counts mails that wait, and forgets old ones, until the task is cancelled.
    public func watch() async {
        var lastForgotten: ContinuousClock.Instant?
        while !Task.isCancelled {
            // A Postgres that does not answer is told of elsewhere; the counts stay as they were.
            try? await count()
            if lastForgotten.map({ $0 + Self.forgetEvery < .now }) ?? true, (try? await store.forget(olderThan: Self.memory)) != nil {
                lastForgotten = .now
            }
            // Cancelled, it returns at once, and the loop ends.
            try? await Task.sleep(for: Self.countEvery)
        }
    }

    private func count() async throws(Problem) {
        let counted = Counts(waiting: Int(try await relay.waiting()), dead: Int(try await relay.deadLetters()))
        let before = counts.withLock { counts in
            defer { counts = counted }
            return counts
        }
        if projector == nil, counted.waiting != before.waiting { observer.observe(.mailsHeld(count: counted.waiting)) }
    }
}
