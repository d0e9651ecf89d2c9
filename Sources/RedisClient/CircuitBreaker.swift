/// Decides whether a server that stopped answering is still to be asked. A pure value: time and chance come from outside.
///
/// Closed, it lets every call pass. After enough failures in a row it opens, and calls fail without being sent. When its delay is over
/// it is half open: one probe is sent, whose answer closes it and whose failure opens it again, for longer.
struct CircuitBreaker {
    enum State: Equatable {
        case closed
        case open(probeAt: ContinuousClock.Instant)
        case halfOpen
    }

    private(set) var state = State.closed
    private let policy: RedisBreakerPolicy
    private var backoff: Backoff
    private var failures = 0
    private var streakBegan: ContinuousClock.Instant?

    init(_ policy: RedisBreakerPolicy) {
        self.policy = policy
        backoff = Backoff(policy.delay)
    }

    var isClosed: Bool { state == .closed }

    /// A call was answered in time, whatever the answer.
    mutating func succeeded() {
        guard failures > 0 || state != .closed else { return }
        state = .closed
        failures = 0
        backoff.reset()
    }

    /// A call was not answered. Answers when to probe, where that has opened the breaker.
    mutating func failed(at now: ContinuousClock.Instant, jitter: Double) -> ContinuousClock.Instant? {
        switch state {
        case .open: return nil
        case .halfOpen: return open(at: now, jitter)
        case .closed:
            if failures == 0 || streakBegan.map({ $0.duration(to: now) > policy.window }) == true {
                failures = 0
                streakBegan = now
            }
            failures += 1
            return failures >= policy.failures ? open(at: now, jitter) : nil
        }
    }

    /// The delay is over; true where a probe is to be sent.
    mutating func probeIsDue() -> Bool {
        guard case .open = state else { return false }
        state = .halfOpen
        return true
    }

    private mutating func open(at now: ContinuousClock.Instant, _ jitter: Double) -> ContinuousClock.Instant {
        let probeAt = now + backoff.next(jitter: jitter)
        state = .open(probeAt: probeAt)
        return probeAt
    }
}
