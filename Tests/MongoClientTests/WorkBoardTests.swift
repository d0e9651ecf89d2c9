import Testing

@testable import MongoClient

private final class Work: DeadlineBound {
    let name: String
    let deadline: ContinuousClock.Instant
    init(_ name: String, _ deadline: ContinuousClock.Instant) {
        self.name = name
        self.deadline = deadline
    }
}

private let start = ContinuousClock.now

private func work(_ name: String, _ seconds: Int = 10) -> Work { Work(name, start + .seconds(seconds)) }

extension WorkBoard<Work> {
    fileprivate mutating func take(slot: Int) -> String? {
        if case .run(let job) = nextTurn(slot: slot) { job.name } else { nil }
    }
}

@Suite struct WorkBoardTests {
    @Test func jobsAreTakenInTheOrderTheyCame() {
        var board = WorkBoard<Work>(threads: 1, limit: 4)
        for name in ["a", "b", "c"] { _ = board.admit(work(name)) }
        #expect(board.take(slot: 0) == "a")
        _ = board.admit(work("d"))
        _ = board.admit(work("e"))
        #expect(board.queued == 4)
        for name in ["b", "c", "d", "e"] { #expect(board.take(slot: 0) == name) }
        #expect(board.take(slot: 0) == nil)
    }

    @Test func oneMoreThanTheLimitIsRefusedAndThoseThatRunDoNotCount() {
        var board = WorkBoard<Work>(threads: 1, limit: 1)
        _ = board.admit(work("runs"))
        #expect(board.take(slot: 0) == "runs")
        #expect(board.admit(work("waits")) != .full)
        #expect(board.admit(work("too many")) == .full)
        #expect(board.busy == 1 && board.queued == 1)
    }

    @Test func aSleeperIsWokenOncePerJob() {
        var board = WorkBoard<Work>(threads: 2, limit: 4)
        _ = board.nextTurn(slot: 0)
        _ = board.nextTurn(slot: 1)
        #expect(board.admit(work("a")) == .queued(wakesWorker: true, movesAlarm: true))
        #expect(board.admit(work("b")) == .queued(wakesWorker: true, movesAlarm: false))
        #expect(board.admit(work("c")) == .queued(wakesWorker: false, movesAlarm: false))
    }

    @Test func theAlarmIsMovedOnlyByAnEarlierDeadline() {
        var board = WorkBoard<Work>(threads: 1, limit: 4)
        #expect(board.admit(work("a", 5)) == .queued(wakesWorker: false, movesAlarm: true))
        #expect(board.admit(work("b", 6)) == .queued(wakesWorker: false, movesAlarm: false))
        #expect(board.admit(work("c", 4)) == .queued(wakesWorker: false, movesAlarm: true))
        #expect(board.expire(at: start).next == start + .seconds(4))
    }

    @Test func expiredJobsLeaveTheQueueAndARunningOneIsGivenUpOnce() {
        var board = WorkBoard<Work>(threads: 1, limit: 4)
        _ = board.admit(work("runs", 2))
        #expect(board.take(slot: 0) == "runs")
        _ = board.admit(work("short", 1))
        _ = board.admit(work("long", 9))
        let due = board.expire(at: start + .seconds(2))
        #expect(due.waiting.map(\.name) == ["short"])
        #expect(due.running.map(\.name) == ["runs"])
        #expect(due.next == start + .seconds(9))
        #expect(board.busy == 1, "its thread is still in the driver")
        #expect(board.expire(at: start + .seconds(3)).running.count == 0)
        #expect(board.queued == 1)
    }

    @Test func aWithdrawnJobIsNeverTaken() {
        var board = WorkBoard<Work>(threads: 1, limit: 4)
        let jobs = ["a", "b", "c"].map { work($0) }
        for job in jobs { _ = board.admit(job) }
        #expect(board.withdraw(jobs[1]) == true)
        #expect(board.withdraw(jobs[1]) == false)
        #expect(board.take(slot: 0) == "a")
        #expect(board.withdraw(jobs[0]) == false, "it runs")
        #expect(board.take(slot: 0) == "c")
    }

    @Test func aClosedBoardHandsBackWhatWaitsAndSendsWorkersHome() {
        var board = WorkBoard<Work>(threads: 1, limit: 4)
        _ = board.admit(work("a"))
        #expect(board.close().map(\.name) == ["a"])
        #expect(board.admit(work("b")) == .closed)
        guard case .leave = board.nextTurn(slot: 0) else {
            Issue.record("the worker stays")
            return
        }
    }
}
