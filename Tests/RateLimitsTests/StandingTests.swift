import Contract
import TestSupport
import Testing

@testable import RateLimits

/// What Redis does, as the script says it, without the server.
private struct Shared {
    var full = Int64.min

    mutating func take(_ request: Standing.Request, _ rule: RateRule, at now: Int64) -> (granted: Int, full: Int64, wait: Int64) {
        let base = max(full == .min ? now : full - Int64(request.back) * rule.interval, now)
        let granted = min(rule.limit - Int((base - now + rule.interval - 1) / rule.interval), request.wanted)
        full = base + Int64(granted) * rule.interval
        return (granted, full - now, max(0, full - now - Int64(rule.limit - 1) * rule.interval))
    }
}

@Suite struct StandingTests {
    private static let second: Int64 = 1_000_000

    /// One request, asked of `shared` where the process cannot decide. Answers whether it was admitted, and whether Redis was asked.
    private static func request(
        _ standing: inout Standing, _ shared: inout Shared, _ rule: RateRule, at now: Int64, isBulk: Bool = true
    ) -> (isAdmitted: Bool, isAsked: Bool) {
        if let answer = standing.spend(rule, at: now) { return (isAdmitted(answer), false) }
        let request = standing.ask(rule, isBulk: isBulk, at: now)
        let grant = shared.take(request, rule, at: now)
        return (
            isAdmitted(standing.answered(request, granted: grant.granted, full: grant.full, wait: grant.wait, rule, at: now)), true
        )
    }

    private static func isAdmitted(_ answer: Standing.Answer) -> Bool { if case .admitted = answer { true } else { false } }

    @Test func oneInstanceAdmitsTheLimitExactlyAndThenTheRateExactly() {
        let rule = RateRule(checked: 160, 16)
        var (standing, shared) = (Standing(), Shared())
        let burst = (0..<400).count { _ in Self.request(&standing, &shared, rule, at: 0).isAdmitted }
        #expect(burst == 160)
        var later = 0
        for step in 1...100 { if Self.request(&standing, &shared, rule, at: Int64(step) * Self.second / 100).isAdmitted { later += 1 } }
        #expect(later == 10)
    }

    @Test func whoComesOftenCostsFewRoundTrips() {
        let rule = RateRule(checked: 6000, 60)
        var (standing, shared, asked) = (Standing(), Shared(), 0)
        for step in 0..<10_000 {
            let outcome = Self.request(&standing, &shared, rule, at: Int64(step) * Self.second / 90)
            #expect(outcome.isAdmitted)
            if outcome.isAsked { asked += 1 }
        }
        #expect(asked < 300, "90 a second, 111 seconds: not much more than one each second, and \(asked) it was")
    }

    @Test func whoComesSeldomHoldsNothing() {
        let rule = RateRule(checked: 6000, 60)
        var (standing, shared) = (Standing(), Shared())
        for step in 0..<10 {
            let now = Int64(step) * 5 * Self.second
            #expect(Self.request(&standing, &shared, rule, at: now).isAdmitted)
            #expect(shared.full == now + rule.interval)
        }
    }

    @Test func aRefusalIsRepeatedWithoutAskingUntilItsTimeIsOver() {
        let rule = RateRule(checked: 2, 10)
        var (standing, shared, other) = (Standing(), Shared(), Standing())
        for _ in 0..<2 { #expect(Self.request(&other, &shared, rule, at: 0).isAdmitted) }
        #expect(Self.request(&standing, &shared, rule, at: 0) == (false, true))
        #expect(Self.request(&standing, &shared, rule, at: Self.second * 5 - 1) == (false, false))
        #expect(Self.request(&standing, &shared, rule, at: Self.second * 5) == (true, true))
    }

    @Test func whatIsCountedOneByOneAlwaysAsks() {
        let rule = RateRule(checked: 1000, 10)
        var (standing, shared) = (Standing(), Shared())
        for _ in 0..<100 { #expect(Self.request(&standing, &shared, rule, at: 0, isBulk: false) == (true, true)) }
    }

    @Test func requestsThatWaitForTheSameAnswerAskForThemselvesAlone() {
        let rule = RateRule(checked: 1600, 10)
        var standing = Standing()
        let first = standing.ask(rule, isBulk: true, at: 0)
        let second = standing.ask(rule, isBulk: true, at: 0)
        #expect(first.isLease && !second.isLease && second.wanted == 1)
        _ = standing.answered(first, granted: 1, full: 0, wait: 0, rule, at: 10)
        #expect(standing.ask(rule, isBulk: true, at: 10) == Standing.Request(wanted: 2, back: 0, isLease: true, start: 10))
    }

    /// However requests fall on however many instances: never more than the rule and what the instances held, and all of it is used.
    @Test func severalInstancesTogetherKeepTheRuleAndWasteNothing() {
        var random = SeededGenerator()
        for _ in 0..<60 {
            let rule = RateRule(checked: Int.random(in: 1...2000, using: &random), Int.random(in: 1...30, using: &random))
            let count = Int.random(in: 1...4, using: &random)
            var (instances, shared) = (Array(repeating: Standing(), count: count), Shared())
            var (now, admitted) = (Int64(0), 0)
            for _ in 0..<8000 {
                now += Int64.random(in: 0...rule.interval, using: &random)
                let place = Int.random(in: 0..<count, using: &random)
                if Self.request(&instances[place], &shared, rule, at: now).isAdmitted { admitted += 1 }
                let most = rule.limit + Int(now / rule.interval)
                #expect(admitted <= most, "\(rule.text) on \(count); \(random)")
            }
            // A limit of few is whole again before the next request comes, and what would come back is lost by rule.
            guard rule.limit >= 50 else { continue }
            // Twice what may come was asked for, so what may come came, but for what is held at the end and a beat of refusals each.
            let held = count * (max(1, rule.limit / 16) + 2) + Int(now / rule.interval) / 20
            #expect(admitted >= min(8000, rule.limit + Int(now / rule.interval)) - held, "\(rule.text) on \(count); \(random)")
        }
    }

    @Test func withRedisAwayTheProcessHoldsTheRuleByItself() {
        let rule = RateRule(checked: 50, 10)
        var (standing, asked, admitted) = (Standing(), 0, 0)
        for _ in 0..<200 {
            var answer = standing.spend(rule, at: 0)
            if answer == nil {
                asked += 1
                answer = standing.unanswered(standing.ask(rule, isBulk: true, at: 0), rule, at: 0)
            }
            if let answer, Self.isAdmitted(answer) { admitted += 1 }
        }
        #expect((admitted, asked) == (50, 1))
    }

    @Test func anEmptiedRedisGivesNobodyASecondLimitFromTheSameInstance() {
        let rule = RateRule(checked: 10, 100)
        var (standing, shared) = (Standing(), Shared())
        for _ in 0..<10 { #expect(Self.request(&standing, &shared, rule, at: 0, isBulk: false).isAdmitted) }
        shared = Shared()
        #expect(!Self.request(&standing, &shared, rule, at: 1, isBulk: false).isAdmitted)
    }

    @Test func whatCameFromNoRedisDoesNotGoBackToIt() {
        let rule = RateRule(checked: 160, 10)
        var standing = Standing()
        _ = standing.unanswered(standing.ask(rule, isBulk: true, at: 0), rule, at: 0)
        #expect(standing.ask(rule, isBulk: true, at: Self.second).back == 0)
    }
}
