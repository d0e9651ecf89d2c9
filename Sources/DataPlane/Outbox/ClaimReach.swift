/// How far back a claim looks. A pure value: time comes from outside.
///
/// Rows that have gone stay in the index for as long as any transaction anywhere, a dump say, may still see them, and a claim that begins
/// at the oldest row passes all of them. So most claims look only at what came due lately. From time to time one looks at everything: for
/// rows that were committed late, and those of relays that died. Such sweeps take no more than a twentieth of the time, however much
/// there is to pass; one that took too long to be waited for is tried again after `afterFailure`.
struct ClaimReach {
    /// What came due lately: longer than transactions take from their beginning, which a row is due from, to their end.
    static let lately = Duration.seconds(5)
    /// The beginning of time, for the SQL.
    static let everything = Duration.seconds(10 * 365 * 86_400)

    private static let pause = Duration.seconds(1)
    private static let share = 20
    /// What a sweep may take: a claim that finds much to pass must not fail for that alone.
    static let longestSweep = Duration.seconds(30)
    /// What was committed before an outage waits no longer than that after it, unless it came due lately.
    private static let afterFailure = Duration.seconds(10)
    private var nextSweep: ContinuousClock.Instant?

    /// How far the next claim looks back from now.
    func span(at now: ContinuousClock.Instant) -> Duration {
        nextSweep.map { now < $0 } == true ? Self.lately : Self.everything
    }

    /// After a claim: `isFull` says that it found as many rows as it may take, so that there may be more behind them.
    mutating func claimed(back span: Duration, from start: ContinuousClock.Instant, to now: ContinuousClock.Instant, isFull: Bool) {
        guard span == Self.everything else { return }
        nextSweep = isFull ? nil : now + max(Self.pause, (now - start) * Self.share)
    }

    /// After a claim that failed. Where that was at once, the next one is as good as this; where it took its time, claims of what came due
    /// lately, which may well succeed, go before the next sweep.
    mutating func failed(from start: ContinuousClock.Instant, to now: ContinuousClock.Instant) {
        nextSweep = now - start < Self.pause ? nil : now + Self.afterFailure
    }
}
