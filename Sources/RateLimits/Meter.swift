import Contract

/// One subject's use of one rule, as the generic cell rate algorithm counts it: a single instant. Pure; time comes from outside, in
/// microseconds of any clock that does not go back.
///
/// `full` is when all of the limit is there again (the "theoretical arrival time" of ITU-T I.371, Annex A; the reading with a burst is
/// that of redis-cell, https://github.com/brandur/redis-cell). Every request moves it on by one interval; a request that would move it
/// farther than `limit` intervals from now is one too many, and moves nothing. So `limit` requests may come at once, and never more
/// than `limit + elapsed / interval` in any stretch of time. What is refused costs nothing: nobody is locked out by trying.
struct Meter: Sendable, Equatable {
    private(set) var full: Int64

    init(full: Int64 = .min) { self.full = full }

    /// Requests that may come now.
    func free(_ rule: RateRule, at now: Int64) -> Int {
        rule.limit - Int((max(full, now) - now + rule.interval - 1) / rule.interval)
    }

    /// Counts as many of `wanted` requests as may come now, and answers how many those are.
    mutating func take(_ wanted: Int, _ rule: RateRule, at now: Int64) -> Int {
        let taken = max(0, min(wanted, free(rule, at: now)))
        if taken > 0 { full = max(full, now) + Int64(taken) * rule.interval }
        return taken
    }

    /// Microseconds until the next request may come; 0 where one may come now.
    func wait(_ rule: RateRule, at now: Int64) -> Int64 {
        max(0, max(full, now) - now - Int64(rule.limit - 1) * rule.interval)
    }

    /// What the `RateLimit` fields say.
    func state(_ rule: RateRule, at now: Int64) -> RateState {
        RateState(
            limit: rule.limit, remaining: max(0, free(rule, at: now)), resetSeconds: Int((max(full, now) - now + 999_999) / 1_000_000),
            windowSeconds: rule.seconds)
    }
}
