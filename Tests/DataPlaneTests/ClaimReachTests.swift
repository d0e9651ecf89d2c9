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

    @Test func whereASweepMayHaveLeftSomethingTheNextClaimLooksAtEverything() {
        var reach = ClaimReach()
        reach.claimed(back: ClaimReach.everything, from: at(0), to: at(3), isFull: true)
        #expect(reach.span(at: at(4)) == ClaimReach.everything)
    }

    @Test func howeverMuchCameDueLatelySweepsKeepToTheirShare() {
        var reach = swept(in: 200)
        reach.claimed(back: ClaimReach.lately, from: at(201), to: at(203), isFull: true)
        #expect(reach.span(at: at(4199)) == ClaimReach.lately)
    }

    @Test func afterASweepThatTookTooLongClaimsLookAtWhatCameLatelyForTenSeconds() {
        var reach = ClaimReach()
        reach.failed(from: at(0), to: at(30_000))
        #expect(reach.span(at: at(39_999)) == ClaimReach.lately)
        #expect(reach.span(at: at(40_000)) == ClaimReach.everything)
    }

    @Test func whatFailedAtOnceIsTriedAgainAsItWas() {
        var reach = swept(in: 200)
        reach.failed(from: at(300), to: at(301))
        #expect(reach.span(at: at(302)) == ClaimReach.everything)
    }
}
