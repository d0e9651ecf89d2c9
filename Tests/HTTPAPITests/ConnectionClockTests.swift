import NIOCore
import Testing

@testable import HTTPAPI

@Suite struct ConnectionClockTests {
    private static let limits = {
        var limits = EdgeLimits()
        limits.idle = .seconds(30)
        limits.total = .seconds(20)
        limits.bodyGrace = .seconds(5)
        limits.bodyRate = 1000
        limits.linger = .seconds(2)
        return limits
    }()

    private static func second(_ second: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(second) }

    private var clock = ConnectionClock(Self.limits, at: Self.second(0))

    private func verdict(_ second: Int64) -> ConnectionClock.Verdict { clock.verdict(at: Self.second(second)) }

    @Test func aSilentConnectionIsClosedAfterItsIdleTime() {
        #expect(verdict(29) == .wait(until: Self.second(30)))
        #expect(verdict(30) == .close)
    }

    @Test mutating func aRequestIsLateAfterItsTotalTime() {
        clock.head(at: Self.second(10))
        clock.end()
        #expect(verdict(29) == .wait(until: Self.second(30)))
        #expect(verdict(30) == .late)
    }

    @Test mutating func eachRequestHasItsOwnTimeFromItsTurnOn() {
        clock.head(at: Self.second(10))
        clock.end()
        clock.head(at: Self.second(10))
        clock.end()
        clock.answered(at: Self.second(25))
        #expect(verdict(44) == .wait(until: Self.second(45)))
        #expect(verdict(45) == .late)
        clock.answered(at: Self.second(44))
        #expect(verdict(73) == .wait(until: Self.second(74)))
        #expect(verdict(74) == .close)
    }

    @Test mutating func anAnswerToNoRequestMakesNoneLessDue() {
        clock.answered(at: Self.second(0))
        clock.head(at: Self.second(1))
        clock.end()
        #expect(clock.due == 1)
        #expect(verdict(31) == .late)
    }

    @Test mutating func aBodyKeepsUpItsRateAfterAGrace() {
        clock.head(at: Self.second(0))
        #expect(verdict(4) == .wait(until: Self.second(5)))
        #expect(verdict(5) == .late)
        clock.body(3000)
        #expect(verdict(7) == .wait(until: Self.second(8)))
        #expect(verdict(8) == .late)
        clock.body(1_000_000)
        #expect(verdict(19) == .wait(until: Self.second(20)))
        #expect(verdict(20) == .late)
    }

    @Test mutating func aBodyThatNobodyAskedForIsBoundedAfterTheAnswer() {
        clock.head(at: Self.second(0))
        clock.answered(at: Self.second(0))
        #expect(verdict(5) == .close)
        clock.body(1_000_000)
        #expect(verdict(29) == .wait(until: Self.second(30)))
        #expect(verdict(30) == .close)
    }

    @Test mutating func aReaderThatHasStoppedIsClosed() {
        clock.head(at: Self.second(0))
        clock.end()
        clock.answered(at: Self.second(1))
        clock.writable(false, at: Self.second(1))
        clock.head(at: Self.second(25))
        clock.end()
        #expect(verdict(30) == .wait(until: Self.second(31)))
        #expect(verdict(31) == .close)
        clock.writable(true, at: Self.second(30))
        #expect(verdict(31) == .wait(until: Self.second(45)))
    }

    @Test mutating func afterALateAnswerThereIsTimeToReadIt() {
        clock.head(at: Self.second(0))
        clock.end()
        clock.late(at: Self.second(20))
        #expect(verdict(21) == .wait(until: Self.second(22)))
        #expect(verdict(22) == .close)
    }
}
