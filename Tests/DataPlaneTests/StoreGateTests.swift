import Contract
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

@Suite struct StoreGateTests {
    private let start = ContinuousClock.now
    private func at(_ milliseconds: Int) -> ContinuousClock.Instant { start + .milliseconds(milliseconds) }

    @Test func aCallThatFailsWhileNothingIsAnsweredClosesTheGate() {
        var gate = StoreGate()
        #expect(gate.isOpen)
        let closed = gate.failed(began: at(0))
        #expect(closed)
        #expect(!gate.isOpen)
    }

    @Test func aCallThatFailsAmongAnswersClosesNothing() {
        var gate = StoreGate()
        _ = gate.answered(at: at(500))
        let closed = gate.failed(began: at(0))
        #expect(!closed)
        #expect(gate.isOpen)
    }

    @Test func anAnswerFromBeforeTheCallBeganIsNoSignOfLife() {
        var gate = StoreGate()
        _ = gate.answered(at: at(0))
        let closed = gate.failed(began: at(1))
        #expect(closed)
    }

    @Test func theGateClosesOnceHoweverManyCallsFail() {
        var gate = StoreGate()
        let closed = [gate.failed(began: at(0)), gate.failed(began: at(0)), gate.failed(began: at(1))]
        #expect(closed == [true, false, false])
    }

    @Test func anyAnswerOpensTheGate() {
        var gate = StoreGate()
        _ = gate.failed(began: at(0))
        let opened = [gate.answered(at: at(1)), gate.answered(at: at(2))]
        #expect(opened == [true, false])
        #expect(gate.isOpen)
    }
}

@Suite(.timeLimit(.minutes(1))) struct StoreWatchTests {
    /// A store that answers pings once it is told to.
    private final class FakeStore: Sendable {
        let isUp = Mutex(false)
    }

    private func fail(_ watch: StoreWatch, isUnavailable: Bool = true, isFull: Bool = false) -> Problem {
        watch.failed(since: .now, isUnavailable: isUnavailable, isFull: isFull, "why")
    }

    @Test func aSilentStoreIsNotCalledUntilAPingIsAnswered() async throws {
        let store = FakeStore()
        let watch = StoreWatch(.mongo, observer: Recorder()) { _ in store.isUp.withLock { $0 } }
        #expect(fail(watch) == .unavailable(.mongo))
        #expect(throws: Problem.unavailable(.mongo)) { try watch.begin() }
        store.isUp.withLock { $0 = true }
        #expect(await eventually { (try? watch.begin()) != nil })
    }

    @Test func aStoreThatAnsweredIsCalledAgainAtOnce() throws {
        let watch = StoreWatch(.mongo, observer: Recorder()) { _ in false }
        _ = fail(watch)
        watch.answered(since: .now)
        _ = try watch.begin()
    }

    @Test func aFullQueueIsOverloadAndClosesNothing() throws {
        let watch = StoreWatch(.postgres, observer: Recorder()) { _ in false }
        #expect(fail(watch, isFull: true) == .overloaded)
        _ = try watch.begin()
    }

    @Test func whatTheStoreRefusesIsUnexpectedAndClosesNothing() throws {
        let recorder = Recorder()
        let watch = StoreWatch(.postgres, observer: recorder) { _ in false }
        let problem = fail(watch, isUnavailable: false)
        #expect(problem.code == .internal && problem.cause != nil)
        // Whoever it failed, one request or a batch of them, names the entry that says why.
        #expect(recorder.count { if case .unexpectedError(let id, _) = $0 { id == problem.cause } else { false } } == 1)
        _ = try watch.begin()
    }
}
