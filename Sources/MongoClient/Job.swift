import Synchronization

/// One piece of work on its way through the pool. Answered exactly once, by whoever claims it first: the worker, the alarm
/// or a cancellation.
///
/// `@unchecked Sendable`: `isAdmitted` and `isCancelledEarly` are touched under the pool's lock alone; the rest is constant
/// or atomic. Subclasses say the same of what they add.
class Job: DeadlineBound, @unchecked Sendable {
    let deadline: ContinuousClock.Instant
    let created = ContinuousClock.now

    /// Set when the pool took it.
    var isAdmitted = false

    /// Set when its task was cancelled before the pool saw it.
    var isCancelledEarly = false

    private let answered = Atomic(false)

    init(deadline: ContinuousClock.Instant) { self.deadline = deadline }

    /// Whether its caller has its answer, so that no more should be done for it.
    final var isAnswered: Bool { answered.load(ordering: .acquiring) }

    /// True for the one who may answer.
    final func claim() -> Bool {
        answered.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
    }

    /// Does the work, on a worker thread. Returns how it failed.
    func run(_ session: borrowing MongoSession) -> MongoError.Code? { nil }

    /// Answers with what `run` made of it if nobody has answered.
    func answer() {}

    /// Answers with an error if nobody has answered.
    func fail(_ error: MongoError) {}
}

/// A job with a result. `@unchecked Sendable`: `continuation` is set once, before the pool's lock hands the job on, and used
/// once, by whoever claimed the answer; `result` is the worker's own.
final class JobOf<Value: Sendable>: Job, @unchecked Sendable {
    var continuation: UnsafeContinuation<Result<Value, MongoError>, Never>?
    private var result: Result<Value, MongoError>?
    private let body: @Sendable (borrowing MongoSession) throws -> Value

    init(deadline: ContinuousClock.Instant, body: @escaping @Sendable (borrowing MongoSession) throws -> Value) {
        self.body = body
        super.init(deadline: deadline)
    }

    override func run(_ session: borrowing MongoSession) -> MongoError.Code? {
        do {
            result = .success(try body(session))
            return nil
        } catch {
            let error = MongoError(wrapping: error)
            result = .failure(error)
            return error.code
        }
    }

    override func answer() {
        if let result, claim() { continuation?.resume(returning: result) }
    }

    override func fail(_ error: MongoError) {
        if claim() { continuation?.resume(returning: .failure(error)) }
    }
}
