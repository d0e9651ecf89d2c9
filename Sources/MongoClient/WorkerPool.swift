import CMongoC
import Threads

/// The threads that may call the driver, and the alarm that answers callers whose time is up.
///
/// The driver blocks, so it is called from these threads alone, never from a task. Each owns one client of one
/// `mongoc_client_pool`: pooled clients share background monitors, so after an outage the first one that looks finds the
/// server again at once, where a lone client would sleep out a cooldown of five seconds.
///
/// `@unchecked Sendable`: `board`, `users`, `isReleased` and `leavers` are touched under `monitor` alone; the driver's pool
/// is thread-safe, and destroyed by its last user.
final class WorkerPool: @unchecked Sendable {
    private let monitor = Monitor()
    private var board: WorkBoard<Job>
    /// The threads that use the driver, and the initialiser while it starts them.
    private var users = 1
    private var isReleased = false
    private var leavers: [CheckedContinuation<Void, Never>] = []

    private let driverPool: OpaquePointer
    private let database: String
    private let observe: @Sendable (MongoEvent) -> Void

    /// - Throws: `.invalidConfiguration`, or `.refused` when the system gives no threads.
    init(_ configuration: MongoConfiguration, observe: @escaping @Sendable (MongoEvent) -> Void) throws(MongoError) {
        let uri = try ConnectionString.complete(configuration)
        var error = bson_error_t()
        guard let driverPool = uri.withPointer({ mongoc_client_pool_new_with_error($0, &error) }) else {
            throw MongoError(.invalidConfiguration, detail: MongoError(error).debugDescription)
        }
        // Version 2: a server's error keeps the server's number.
        mongoc_client_pool_set_error_api(driverPool, 2)
        self.driverPool = driverPool
        self.observe = observe
        database = configuration.database
        board = WorkBoard(threads: configuration.threads, limit: configuration.queueLimit)
        Driver.addObserver(self, observe)
        defer { leave() }
        do {
            try start(configuration.threads)
        } catch {
            close()
            throw error
        }
    }

    private func start(_ threads: Int) throws(MongoError) {
        for slot in 0..<threads {
            // Never waits: the pool has room for exactly this many.
            guard let client = mongoc_client_pool_try_pop(driverPool) else {
                throw MongoError(.invalidConfiguration, detail: "no client for a thread")
            }
            let handle = ClientHandle(raw: client)
            monitor.withLock { users += 1 }
            do {
                try begin("mongo-\(slot)") { self.work(slot: slot, client: handle.raw) }
            } catch {
                mongoc_client_pool_push(driverPool, client)
                leave()
                throw error
            }
        }
        try begin("mongo-alarm") { self.watch() }
    }

    private func begin(_ name: String, _ body: @escaping @Sendable () -> Void) throws(MongoError) {
        do throws(ThreadRefusal) { try startThread(named: name, body) } catch { throw MongoError(.refused, detail: error.description) }
    }

    /// A client on its way to its thread. `@unchecked Sendable`: only that thread uses it afterwards.
    private struct ClientHandle: @unchecked Sendable {
        let raw: OpaquePointer
    }

    // MARK: For tasks

    func submit(_ job: Job) {
        let problem: MongoError.Code? = monitor.withLock {
            if job.isCancelledEarly { return .cancelled }
            if job.deadline <= job.created { return .timeout }
            switch board.admit(job) {
            case .full: return .queueFull
            case .closed: return .shutdown
            case .queued(let wakesWorker, let movesAlarm):
                job.isAdmitted = true
                if wakesWorker { monitor.wakeWorker() }
                if movesAlarm { monitor.wakeAlarm() }
                return nil
            }
        }
        if let problem { refuse(job, problem) }
    }

    /// A job that waits is taken out and never begins; one that runs is given up, and stops at its next operation.
    func cancel(_ job: Job) {
        let wasWaiting: Bool? = monitor.withLock {
            guard job.isAdmitted else {
                job.isCancelledEarly = true
                return nil
            }
            return board.withdraw(job)
        }
        guard let wasWaiting else { return }
        if wasWaiting { refuse(job, .cancelled) } else { job.fail(MongoError(.cancelled)) }
    }

    var state: MongoPoolState {
        monitor.withLock { MongoPoolState(threads: board.threads, busy: board.busy, queued: board.queued) }
    }

    /// No more jobs; those that wait are refused, those that run go on.
    func close() {
        let refused = monitor.withLock {
            defer { monitor.wakeAll() }
            return board.close()
        }
        for job in refused { refuse(job, .shutdown) }
    }

    /// Returns once every thread has left the driver.
    func waitUntilLeft() async {
        await withCheckedContinuation { continuation in
            let isDone = monitor.withLock {
                if !isReleased { leavers.append(continuation) }
                return isReleased
            }
            if isDone { continuation.resume() }
        }
    }

    private func refuse(_ job: Job, _ code: MongoError.Code) {
        job.fail(MongoError(code))
        observe(.neverRan(code))
    }

    // MARK: On the worker threads

    private func work(slot: Int, client: OpaquePointer) {
        do {
            let worker = Worker(borrowing: client, database: database)
            while let job = nextJob(slot: slot) {
                let began = ContinuousClock.now
                let failure = job.run(MongoSession(worker: worker, job: job))
                monitor.withLock { board.finish(slot: slot) }
                job.answer()
                observe(.ran(waited: job.created.duration(to: began), took: began.duration(to: .now), failure: failure))
            }
        }
        mongoc_client_pool_push(driverPool, client)
        leave()
    }

    private func nextJob(slot: Int) -> Job? {
        monitor.withLock {
            while true {
                switch board.nextTurn(slot: slot) {
                case .run(let job): return job
                case .leave: return nil
                case .sleep: monitor.waitForWork()
                }
            }
        }
    }

    /// The last user out destroys the driver's pool, which closes its connections and ends its monitors.
    private func leave() {
        let isLast = monitor.withLock {
            users -= 1
            return users == 0
        }
        guard isLast else { return }
        mongoc_client_pool_destroy(driverPool)
        Driver.removeObserver(self)
        let waiting = monitor.withLock {
            isReleased = true
            monitor.wakeAll()
            defer { leavers = [] }
            return leavers
        }
        for leaver in waiting { leaver.resume() }
    }

    // MARK: On the alarm's thread

    /// Answers callers at their deadline, whatever the workers do. It sleeps until the earliest deadline it knew when it
    /// fell asleep, so in a stream of jobs that end in time it wakes about once per deadline's length, not per job.
    private func watch() {
        while true {
            let due: (waiting: [Job], running: [Job])? = monitor.withLock {
                while true {
                    if isReleased { return nil }
                    let (waiting, running, next) = board.expire(at: .now)
                    if !waiting.isEmpty || !running.isEmpty { return (waiting, running) }
                    monitor.waitForTime(until: next)
                }
            }
            guard let due else { return }
            for job in due.waiting { refuse(job, .timeout) }
            for job in due.running { job.fail(MongoError(.timeout)) }
        }
    }
}
