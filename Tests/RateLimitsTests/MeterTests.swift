import Contract
import TestSupport
import Testing

@testable import RateLimits

@Suite struct MeterTests {
    private static let second: Int64 = 1_000_000
    private let tenInFive = RateRule(checked: 10, 5)

    @Test func theWholeLimitMayComeAtOnceAndNotOneMore() {
        var meter = Meter()
        #expect((0..<10).allSatisfy { _ in meter.take(1, tenInFive, at: 0) == 1 })
        #expect(meter.take(1, tenInFive, at: 0) == 0)
        #expect(meter.wait(tenInFive, at: 0) == Self.second / 2)
    }

    @Test func oneRequestComesBackEachIntervalNotOneMicrosecondEarlier() {
        var meter = Meter()
        #expect(meter.take(20, tenInFive, at: 0) == 10)
        #expect(meter.take(1, tenInFive, at: Self.second / 2 - 1) == 0)
        #expect(meter.take(2, tenInFive, at: Self.second / 2) == 1)
        #expect(meter.take(5, tenInFive, at: Self.second * 5) == 5)
        #expect(meter.free(tenInFive, at: Self.second * 5) == 4)
    }

    @Test func whatIsRefusedCostsNothing() {
        var meter = Meter()
        _ = meter.take(10, tenInFive, at: 0)
        for _ in 0..<1000 { _ = meter.take(1, tenInFive, at: 1) }
        #expect(meter.take(1, tenInFive, at: Self.second / 2) == 1)
    }

    @Test func aMeterThatWasLeftAloneIsAsGoodAsNew() {
        var meter = Meter()
        _ = meter.take(10, tenInFive, at: 0)
        #expect(meter.free(tenInFive, at: Self.second * 5) == 10)
        #expect(meter.free(tenInFive, at: Self.second * 1_000_000) == 10)
    }

    @Test func theStateSaysWhatIsLeftAndWhenAllIsBack() {
        var meter = Meter()
        #expect(meter.state(tenInFive, at: 7).remaining == 10)
        _ = meter.take(3, tenInFive, at: 0)
        let state = meter.state(tenInFive, at: 0)
        #expect((state.limit, state.remaining, state.resetSeconds, state.windowSeconds) == (10, 7, 2, 5))
        #expect(meter.state(tenInFive, at: Self.second / 10).remaining == 7, "a part of a request is none")
    }

    /// For any rule and any arrivals: never more than `limit + elapsed / interval` in any stretch, and never refused below that.
    @Test func noStretchOfTimeHasMoreThanTheRuleSays() {
        var random = SeededGenerator()
        for _ in 0..<200 {
            let rule = RateRule(checked: Int.random(in: 1...40, using: &random), Int.random(in: 1...60, using: &random))
            var (meter, now, admitted) = (Meter(), Int64(0), [Int64]())
            for _ in 0..<300 {
                now += Int64.random(in: 0...rule.interval * 2, using: &random)
                if meter.take(1, rule, at: now) == 1 {
                    admitted.append(now)
                } else {
                    let first = max(0, admitted.count - rule.limit)
                    #expect(now - admitted[first] < rule.interval * Int64(rule.limit), "refused without need; \(random)")
                }
            }
            for first in admitted.indices {
                for last in first..<admitted.count {
                    let most = Int64(rule.limit) + (admitted[last] - admitted[first]) / rule.interval
                    #expect(Int64(last - first + 1) <= most, "\(random)")
                }
            }
        }
    }

    @Test(arguments: [
        "0/1", "-1/1", "1/0", "1/86401", "1000001/60", "10001/1", "1", "1/", "/1", "1/1/1", "a/b", "1.5/2", " 1/1", "",
        "99999999999999999999/1",
    ])
    func whatIsNoRuleIsRefused(text: String) {
        #expect(RateRule(text) == nil)
    }

    @Test func aRuleIsReadAsItIsWritten() {
        #expect(RateRule("600/60") == RateRule(checked: 600, 60))
        #expect(RateRule("10000/1")?.interval == 100)
        #expect(RateRule("3/10")?.interval == 3_333_334)
        #expect(RateRule("1/86400")?.text == "1/86400")
    }
}
