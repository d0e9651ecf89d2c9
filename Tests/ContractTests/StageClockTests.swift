import Contract
import Testing

@Suite struct StageClockTests {
    @Test func onlyStagesThatWereEnteredAreTold() {
        var clock = StageClock()
        #expect(clock.serverTiming.isEmpty)
        clock.mark(.parse)
        clock.mark(.fetch)
        clock.mark(.fetch)
        #expect(clock.serverTiming.wholeMatch(of: /parse;dur=\d+\.\d{3}, fetch;dur=\d+\.\d{3}/) != nil)
    }

    @Test func aClockThatStartedLongAgoFitsItsHeader() throws {
        var clock = StageClock(start: .now - .seconds(10_000_000))
        for stage in StageClock.Stage.allCases { clock.mark(stage) }
        #expect(clock.serverTiming.hasPrefix("parse;dur=999999.999, authorise;dur=0.0"))
        #expect(clock.serverTiming.split(separator: ", ").count == 6)
    }
}
