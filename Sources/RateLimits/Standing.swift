import Contract

/// How one subject stands with one rule, as this process knows it. Pure; time comes from outside, in microseconds.
///
/// The process takes requests from Redis in bulk (a lease) and spends them by itself, so that most requests cost no round trip. What is
/// spent was taken before: in any stretch of time all instances together admit no more than the rule says and what they held when it
/// began. What one holds the others lack. Both are bounded: a lease is at most a sixteenth of the limit, and is spent for a second; then
/// the rest goes back with the next request, or comes back by itself at the rule's rate. Leases begin with one request, double while they
/// are used up in half their time, and shrink to what was used: for those who come seldom nothing is held.
///
/// Beside that the process counts what it admits itself: all there is while Redis is away, and what an emptied Redis cannot forget.
struct Standing: Sendable, Equatable {
    enum Answer: Sendable, Equatable {
        case admitted(RateState)
        /// One too many; microseconds until the next may come.
        case refused(wait: Int64)
    }

    /// What Redis is asked for, and given back.
    struct Request: Sendable, Equatable {
        let wanted: Int
        let back: Int
        /// Whether what is granted beyond one request is this process's to spend. Only one request at a time asks for more than itself.
        let isLease: Bool
        let start: Int64
    }

    private static let lifetime: Int64 = 1_000_000
    private static let share = 16

    private var own = Meter()
    /// As Redis had it last, all leases of this process counted.
    private var shared = Meter()
    private var lease = 0
    private var leaseSize = 1
    private var leasedAt = Int64.min
    /// Whether the lease came from Redis, and what is left of it can go back there.
    private var isBacked = false
    private var isAsking = false
    private var refusedUntil = Int64.min

    /// Counts one request if this process can decide; nil, with nothing counted, where Redis has to say.
    mutating func spend(_ rule: RateRule, at now: Int64) -> Answer? {
        let wait = max(own.wait(rule, at: now), refusedUntil > now ? refusedUntil - now : 0)
        if wait > 0 { return .refused(wait: wait) }
        guard lease > 0, now - leasedAt < Self.lifetime else { return nil }
        lease -= 1
        _ = own.take(1, rule, at: now)
        return .admitted(state(rule, at: now))
    }

    /// What to ask Redis for one more request, where `spend` could not decide. `isBulk` is false for rules that are counted one by one.
    mutating func ask(_ rule: RateRule, isBulk: Bool, at now: Int64) -> Request {
        guard isBulk, !isAsking else { return Request(wanted: 1, back: 0, isLease: false, start: now) }
        isAsking = true
        let elapsed = leasedAt == .min ? .max : now - leasedAt
        if elapsed > 2 * Self.lifetime {
            leaseSize = 1
        } else if lease > 0 {
            leaseSize = max(1, leaseSize - lease)
        } else if elapsed < Self.lifetime / 2 {
            leaseSize = min(leaseSize * 2, max(1, rule.limit / Self.share))
        }
        // While it was held, some of it came back to Redis by itself.
        let back = isBacked ? max(0, lease - Int(elapsed / rule.interval) - 1) : 0
        lease = 0
        return Request(wanted: leaseSize, back: back, isLease: true, start: now)
    }

    /// Redis has granted so many of what was asked for (none: one too many, for `wait`), and has its limit whole again after `full`.
    mutating func answered(_ request: Request, granted: Int, full: Int64, wait: Int64, _ rule: RateRule, at now: Int64) -> Answer {
        shared = Meter(full: now + full)
        if request.isLease {
            isAsking = false
            (leasedAt, isBacked) = (request.start, true)
        }
        guard granted > 0 else {
            refusedUntil = now + max(wait, 1)
            return .refused(wait: max(wait, 1))
        }
        return keep(granted, rule, at: now)
    }

    /// Redis did not answer: this process decides by what it has admitted itself, and goes on so for a lease's life.
    mutating func unanswered(_ request: Request, _ rule: RateRule, at now: Int64) -> Answer {
        let wait = own.wait(rule, at: now)
        if request.isLease {
            isAsking = false
            (leasedAt, isBacked) = (now, false)
        }
        shared = own
        guard wait == 0 else { return .refused(wait: wait) }
        return keep(request.isLease ? rule.limit : 1, rule, at: now)
    }

    /// Spends one of `granted` for the request that asked, and keeps the others.
    private mutating func keep(_ granted: Int, _ rule: RateRule, at now: Int64) -> Answer {
        let wait = own.wait(rule, at: now)
        lease = min(lease + granted - own.take(1, rule, at: now), rule.limit)
        return wait == 0 ? .admitted(state(rule, at: now)) : .refused(wait: wait)
    }

    private func state(_ rule: RateRule, at now: Int64) -> RateState {
        let mine = own.state(rule, at: now)
        let all = shared.state(rule, at: now)
        return RateState(
            limit: rule.limit, remaining: min(mine.remaining, min(rule.limit, all.remaining + lease)),
            resetSeconds: max(mine.resetSeconds, all.resetSeconds), windowSeconds: rule.seconds)
    }
}
