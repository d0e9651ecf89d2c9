/// Waits that double from the shortest to the longest, and are jittered so that many gateways do not come back in step.
struct Backoff {
    let range: ClosedRange<Duration>
    private var current: Duration

    init(_ range: ClosedRange<Duration>) {
        self.range = range
        current = range.lowerBound
    }

    /// The next wait. `jitter` is from 0 to 1 and takes off up to half of it.
    mutating func next(jitter: Double) -> Duration {
        defer { current = min(current * 2, range.upperBound) }
        return current * (1 - jitter / 2)
    }

    mutating func reset() { current = range.lowerBound }
}
