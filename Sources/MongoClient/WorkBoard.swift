/// Which jobs wait, which run, and when somebody must look at a clock: a pure value, without locks, threads or clocks.
///
/// `WorkerPool` keeps one under its lock and does what the answers say. `Job` is whatever carries a deadline.
struct WorkBoard<Job: DeadlineBound> {
    enum Admission: Equatable {
        /// Queued. Wake a worker if one sleeps; tell the alarm if it would wake too late.
        case queued(wakesWorker: Bool, movesAlarm: Bool)
        case full
        case closed
    }

    enum Turn {
        case run(Job)
        case sleep
        case leave
    }

    private enum Slot {
        case idle
        case busy(Job)
        /// Its caller has been answered already; the thread is still in the driver.
        case abandoned
    }

    let limit: Int
    private var waiting: RingBuffer<Job>
    private var slots: [Slot]
    private var sleepers = 0
    private var isClosed = false

    /// When the alarm wakes next; nil when nothing would wake it.
    private var alarm: ContinuousClock.Instant?

    init(threads: Int, limit: Int) {
        self.limit = limit
        waiting = RingBuffer(capacity: limit)
        slots = Array(repeating: .idle, count: threads)
    }

    var queued: Int { waiting.count }
    var threads: Int { slots.count }
    var busy: Int { slots.count { if case .idle = $0 { false } else { true } } }

    mutating func admit(_ job: Job) -> Admission {
        if isClosed { return .closed }
        if waiting.count == limit { return .full }
        waiting.append(job)
        let movesAlarm = alarm.map { job.deadline < $0 } ?? true
        if movesAlarm { alarm = job.deadline }
        // A sleeper is spoken for once, so that two jobs wake two workers.
        let wakesWorker = sleepers > 0
        if wakesWorker { sleepers -= 1 }
        return .queued(wakesWorker: wakesWorker, movesAlarm: movesAlarm)
    }

    /// What the worker of `slot` is to do. A worker that sleeps asks again when woken.
    mutating func nextTurn(slot: Int) -> Turn {
        if let job = waiting.popFirst() {
            slots[slot] = .busy(job)
            return .run(job)
        }
        if isClosed { return .leave }
        // A worker woken for nothing asks again; it is still one sleeper.
        sleepers = min(sleepers + 1, slots.count)
        return .sleep
    }

    mutating func finish(slot: Int) { slots[slot] = .idle }

    /// Takes a job out of the queue; false when it does not wait there. One that runs is let go of: nobody waits for it.
    mutating func withdraw(_ job: Job) -> Bool {
        if waiting.remove(where: { $0 === job }) { return true }
        for index in slots.indices {
            if case .busy(let running) = slots[index], running === job { slots[index] = .abandoned }
        }
        return false
    }

    /// The jobs whose deadline is not after `now`, waiting ones taken from the queue; and when to look next.
    mutating func expire(at now: ContinuousClock.Instant) -> (waiting: [Job], running: [Job], next: ContinuousClock.Instant?) {
        var next: ContinuousClock.Instant?
        func note(_ deadline: ContinuousClock.Instant) { next = next.map { min($0, deadline) } ?? deadline }
        var expired: [Job] = []
        waiting.removeAll { job in
            if job.deadline <= now {
                expired.append(job)
                return true
            }
            note(job.deadline)
            return false
        }
        var running: [Job] = []
        for index in slots.indices {
            guard case .busy(let job) = slots[index] else { continue }
            if job.deadline <= now {
                running.append(job)
                slots[index] = .abandoned
            } else {
                note(job.deadline)
            }
        }
        alarm = next
        return (expired, running, next)
    }

    /// No more jobs: those that wait are handed back, those that run go on.
    mutating func close() -> [Job] {
        isClosed = true
        sleepers = 0
        return waiting.removeAll { _ in true }
    }
}

/// What a `WorkBoard` needs to know of a job.
protocol DeadlineBound: AnyObject {
    var deadline: ContinuousClock.Instant { get }
}
