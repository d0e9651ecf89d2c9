import Testing

@testable import Identity

/// What a refresh token is shown for, by what is known of it.
@Suite struct RefreshVerdictTests {
    private func verdict(isLive: Bool = true, isUsed: Bool, hasChild: Bool = false, hasGrandchild: Bool = false) -> RefreshVerdict {
        RefreshVerdict(isLive: isLive, isUsed: isUsed, hasChild: hasChild, hasGrandchild: hasGrandchild)
    }

    @Test func aTokenIsUsedOnceAndItsParentToleratedUntilItIs() {
        #expect(verdict(isUsed: false) == .rotate)
        #expect(verdict(isUsed: true, hasChild: true) == .again)
        #expect(verdict(isUsed: true, hasChild: true, hasGrandchild: true) == .reused)
    }

    @Test func aTokenThatWasGivenUpForASiblingIsReused() {
        #expect(verdict(isUsed: true) == .reused)
    }

    @Test func nothingIsDoneForWhatHasEnded() {
        for isUsed in [false, true] {
            for (hasChild, hasGrandchild) in [(false, false), (true, false), (true, true)] {
                #expect(verdict(isLive: false, isUsed: isUsed, hasChild: hasChild, hasGrandchild: hasGrandchild) == .ended)
            }
        }
    }
}
