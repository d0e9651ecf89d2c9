import NIOCore

/// How long one connection may go on. Pure: `ConnectionGuard` says what happens and when, and asks what is due.
struct ConnectionClock {
    enum Verdict: Equatable {
        case wait(until: NIODeadline)
        /// Whoever is there has had his time, and nobody waits for an answer.
        case close
        /// A request has had its time, and is to be answered `timeout`.
        case late
    }

    private let idle: TimeAmount
    private let total: TimeAmount
    private let bodyGrace: TimeAmount
    private let bodyRate: Int64
    private let linger: TimeAmount

    /// Requests whose header has come and whose answer has not been written.
    private(set) var due = 0
    /// Whether the end of the newest request is still to come.
    private(set) var isReading = false
    /// Bytes of the newest request's body.
    private(set) var bodyBytes: Int64 = 0
    /// When the oldest request that is due had its turn: its header was there and the one before it answered.
    private var turn: NIODeadline
    private var bodyBegan: NIODeadline
    /// When the connection was made or the newest answer was written.
    private var quietSince: NIODeadline
    private var stalledSince: NIODeadline?
    private var lateSince: NIODeadline?

    init(_ limits: EdgeLimits, at now: NIODeadline) {
        idle = TimeAmount(limits.idle)
        total = TimeAmount(limits.total)
        bodyGrace = TimeAmount(limits.bodyGrace)
        bodyRate = Int64(max(1, limits.bodyRate))
        linger = TimeAmount(limits.linger)
        (turn, bodyBegan, quietSince) = (now, now, now)
    }

    // MARK: What happens

    mutating func head(at now: NIODeadline) {
        if due == 0 { turn = now }
        due += 1
        isReading = true
        bodyBytes = 0
        bodyBegan = now
    }

    mutating func body(_ bytes: Int) { bodyBytes += Int64(bytes) }

    mutating func end() { isReading = false }

    mutating func answered(at now: NIODeadline) {
        // What is no HTTP is answered too, and was never due.
        if due > 0 { due -= 1 }
        turn = now
        quietSince = now
    }

    mutating func writable(_ isWritable: Bool, at now: NIODeadline) { stalledSince = isWritable ? nil : now }

    mutating func late(at now: NIODeadline) { lateSince = now }

    // MARK: What is due

    func verdict(at now: NIODeadline) -> Verdict {
        let (deadline, isLate) = next
        return now < deadline ? .wait(until: deadline) : isLate ? .late : .close
    }

    /// When something is due next, and whether that is an answer.
    var next: (deadline: NIODeadline, isLate: Bool) {
        if let lateSince { return (lateSince + linger, false) }
        let stalled = stalledSince.map { $0 + idle } ?? .distantFuture
        guard due > 0 || isReading else { return (min(quietSince + idle, stalled), false) }
        var deadline = due > 0 ? turn + total : quietSince + idle
        if isReading { deadline = min(deadline, bodyBegan + bodyGrace + .nanoseconds(bodyBytes * (1_000_000_000 / bodyRate))) }
        return stalled <= deadline ? (stalled, false) : (deadline, due > 0)
    }
}
