import Testing

@testable import DataPlane

@Suite struct ClaimReachTests {
    private let start = ContinuousClock.now
    private func at(_ milliseconds: Int) -> ContinuousClock.Instant { start + .milliseconds(milliseconds) }

    /// After a sweep from 0 to `taken` milliseconds that found few rows.
    private func swept(in taken: Int) -> ClaimReach {
        var reach = ClaimReach()
        reach.claimed(back: ClaimReach.everything, from: at(0), to: at(taken), isFull: false)
        return reach
    }

    @Test func theFirstClaimLooksAtEverything() {
        #expect(ClaimReach().span(at: start) == ClaimReach.everything)
    }

    @Test func betweenSweepsAClaimLooksOnlyAtWhatCameDueLately() {
        #expect(swept(in: 1).span(at: at(500)) == ClaimReach.lately)
    }

    @Test func everySecondAClaimLooksAtEverything() {
        #expect(swept(in: 1).span(at: at(1001)) == ClaimReach.everything)
    }

    @Test func sweepsTakeNoMoreThanATwentiethOfTheTime() {
        #expect(swept(in: 200).span(at: at(4199)) == ClaimReach.lately)
        #expect(swept(in: 200).span(at: at(4200)) == ClaimReach.everything)
    }

    @Test func aClaimOfWhatCameLatelyPutsNoSweepOff() {
        var reach = swept(in: 1)
        reach.claimed(back: ClaimReach.lately, from: at(900), to: at(901), isFull: false)
        #expect(reach.span(at: at(1001)) == ClaimReach.everything)
    }

    @Test func whereThereMayBeMoreTheNextClaimLooksAtEverything() {
        var reach = swept(in: 1)
        reach.claimed(back: ClaimReach.lately, from: at(2), to: at(3), isFull: true)
        #expect(reach.span(at: at(4)) == ClaimReach.everything)
    }
}
