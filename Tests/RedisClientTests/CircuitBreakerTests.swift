import Testing

@testable import RedisClient

/// The breaker's decisions: time and chance come from the test.
@Suite struct CircuitBreakerTests {
    private let start = ContinuousClock.now
    private let policy = RedisBreakerPolicy(failures: 3, window: .seconds(10), delay: .milliseconds(100)...(.milliseconds(400)))

    private func openBreaker() -> CircuitBreaker {
        var breaker = CircuitBreaker(policy)
        for _ in 0..<3 { _ = breaker.failed(at: start, jitter: 0) }
        return breaker
    }

    @Test func staysClosedBelowTheLimit() {
        var breaker = CircuitBreaker(policy)
        #expect(breaker.failed(at: start, jitter: 0) == nil)
        #expect(breaker.failed(at: start, jitter: 0) == nil)
        #expect(breaker.isClosed)
    }

    @Test func opensAtTheLimitAndSaysWhenToProbe() {
        var breaker = CircuitBreaker(policy)
        _ = breaker.failed(at: start, jitter: 0)
        _ = breaker.failed(at: start, jitter: 0)
        let probeAt = start + .milliseconds(100)
        #expect(breaker.failed(at: start, jitter: 0) == probeAt)
        #expect(breaker.state == .open(probeAt: probeAt))
    }

    @Test func anAnswerEndsTheStreak() {
        var breaker = CircuitBreaker(policy)
        for _ in 0..<10 {
            _ = breaker.failed(at: start, jitter: 0)
            _ = breaker.failed(at: start, jitter: 0)
            breaker.succeeded()
        }
        #expect(breaker.isClosed)
    }

    @Test func failuresFurtherApartThanTheWindowDoNotAddUp() {
        var breaker = CircuitBreaker(policy)
        for minute in 0..<10 { #expect(breaker.failed(at: start + .seconds(60 * minute), jitter: 0) == nil) }
        #expect(breaker.isClosed)
    }

    @Test func moreFailuresWhileItIsOpenChangeNothing() {
        var breaker = openBreaker()
        let state = breaker.state
        #expect(breaker.failed(at: start + .seconds(1), jitter: 0) == nil)
        #expect(breaker.state == state)
    }

    @Test func oneProbeIsSentWhenTheDelayIsOver() {
        var breaker = openBreaker()
        let due = [breaker.probeIsDue(), breaker.probeIsDue()]
        #expect(due == [true, false])
        #expect(breaker.state == .halfOpen)
    }

    @Test func aClosedBreakerSendsNoProbe() {
        var breaker = CircuitBreaker(policy)
        let isDue = breaker.probeIsDue()
        #expect(!isDue && breaker.isClosed)
    }

    @Test func theProbesAnswerClosesIt() {
        var breaker = openBreaker()
        _ = breaker.probeIsDue()
        breaker.succeeded()
        #expect(breaker.isClosed)
        #expect(breaker.failed(at: start, jitter: 0) == nil, "the streak starts anew")
    }

    @Test func theProbesFailureOpensItForTwiceAsLongUpToTheLongest() {
        var breaker = openBreaker()
        for milliseconds in [200, 400, 400] {
            _ = breaker.probeIsDue()
            #expect(breaker.failed(at: start, jitter: 0) == start + .milliseconds(milliseconds))
        }
    }

    @Test func anAnswerBringsTheShortestDelayBack() {
        var breaker = openBreaker()
        _ = breaker.probeIsDue()
        _ = breaker.failed(at: start, jitter: 0)
        breaker.succeeded()
        for _ in 0..<2 { _ = breaker.failed(at: start, jitter: 0) }
        #expect(breaker.failed(at: start, jitter: 0) == start + .milliseconds(100))
    }

    @Test func jitterTakesOffUpToHalf() {
        for (jitter, milliseconds) in [(0.0, 100), (0.5, 75), (1.0, 50)] {
            var backoff = Backoff(.milliseconds(100)...(.seconds(1)))
            #expect(backoff.next(jitter: jitter) == .milliseconds(milliseconds))
        }
    }
}
