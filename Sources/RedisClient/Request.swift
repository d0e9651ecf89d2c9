import Synchronization

/// One command, or one pipeline of them, on its way to its caller's answer.
///
/// Unchecked: the caller fills it in before it hands it over through the gate's lock; from then on only the reactor's thread touches it,
/// but for `isCancelled`, which is atomic.
final class Request: @unchecked Sendable {
    enum Payload {
        case one(RedisCommand)
        case pipeline([RedisCommand])
    }

    typealias Continuation = UnsafeContinuation<Result<RedisValue, RedisError>, Never>

    let payload: Payload
    let deadline: ContinuousClock.Instant
    /// How many replies it takes, and how many bytes it sends.
    let replies: Int
    let size: Int
    /// Nil for a probe, for which nobody waits.
    var continuation: Continuation?
    private let isCancelled = Atomic<Bool>(false)
    private var isTaken = false
    /// The caller has its answer; replies that come later are dropped.
    private(set) var isFinished = false
    private var received: [RedisValue] = []
    private var receivedCount = 0

    init(_ payload: Payload, deadline: ContinuousClock.Instant) {
        self.payload = payload
        self.deadline = deadline
        switch payload {
        case .one(let command): (replies, size) = (1, command.bytes.count)
        case .pipeline(let commands): (replies, size) = (commands.count, commands.reduce(0) { $0 + $1.bytes.count })
        }
    }

    func put(on wire: Wire) {
        switch payload {
        case .one(let command): wire.put(command)
        case .pipeline(let commands): for command in commands { wire.put(command) }
        }
    }

    /// Takes the next reply; answers what the caller is to be given, once all are here. A pipeline's are one array.
    func receive(_ reply: RedisValue) -> RedisValue? {
        guard case .pipeline = payload else { return reply }
        receivedCount += 1
        if !isFinished { received.append(reply) }
        return receivedCount == replies ? .array(received) : nil
    }

    func finish(_ result: Result<RedisValue, RedisError>) {
        isFinished = true
        received = []
        continuation.take()?.resume(returning: result)
    }

    /// The connection takes it over; false where its task has been cancelled before that.
    func take() -> Bool {
        isTaken = true
        guard isCancelled.load(ordering: .relaxed) else { return true }
        finish(.failure(RedisError(.cancelled)))
        return false
    }

    /// From the task that was cancelled, at any moment.
    func noteCancellation() { isCancelled.store(true, ordering: .relaxed) }

    /// On the reactor's thread, after `noteCancellation`. One that is still to be taken finds out by itself.
    func cancel() {
        if isTaken, !isFinished { finish(.failure(RedisError(.cancelled))) }
    }
}
