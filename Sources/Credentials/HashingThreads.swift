import Contract
import Dispatch
import Glibc
import Synchronization
import Threads

/// A few threads that do nothing but hash, with a bounded queue before them. They give way to every other thread of the process.
final class HashingThreads: Sendable {
    /// A tenth of the weight of the event loops: under full load hashing gets what they leave, and never nothing.
    private static let niceness: Int32 = 10

    private struct Job {
        let number: UInt64
        let run: @Sendable (BcryptWorkspace) -> Void
        let refuse: @Sendable () -> Void
    }

    private struct State {
        var waiting: [Job] = []
        var nextNumber: UInt64 = 0
        var isClosed = false
    }

    private enum Turn {
        case run(Job)
        /// The job that the signal was for has left.
        case nothing
        case leave
    }

    private let threads: Int
    private let limit: Int
    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    /// Throws where the system gives no thread.
    init(threads: Int, waiting: Int) throws(ThreadRefusal) {
        self.threads = threads
        limit = waiting
        do throws(ThreadRefusal) {
            for number in 0..<threads { try startThread(named: "hash-\(number)") { self.work() } }
        } catch {
            close()
            throw error
        }
    }

    /// Jobs that wait for a thread.
    var waiting: Int { state.withLock { $0.waiting.count } }

    /// Does `work` on one of the threads. Throws `overloaded`: at once when the queue is full, and to whoever is cancelled while waiting.
    func run<Value: Sendable>(_ work: @escaping @Sendable (BcryptWorkspace) -> Value) async throws(Problem) -> Value {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<Value, Problem>, Never>) in
                let job = Job(number: number) { workspace in
                    continuation.resume(returning: .success(work(workspace)))
                } refuse: {
                    continuation.resume(returning: .failure(.overloaded))
                }
                // Whoever was cancelled before this finds out here; whoever is cancelled after it is found in the queue.
                let isAdmitted = state.withLock { state in
                    guard !state.isClosed, state.waiting.count < limit, !Task.isCancelled else { return false }
                    state.waiting.append(job)
                    return true
                }
                if isAdmitted { signal.signal() } else { job.refuse() }
            }
        } onCancel: {
            withdraw(number)
        }
        return try result.get()
    }

    private func withdraw(_ number: UInt64) {
        let job: Job? = state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0.number == number }) else { return nil }
            return state.waiting.remove(at: index)
        }
        job?.refuse()
    }

    /// Refuses those that wait; the threads leave after the hash that they are at.
    func close() {
        let refused = state.withLock { state in
            state.isClosed = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for job in refused { job.refuse() }
        for _ in 0..<threads { signal.signal() }
    }

    // MARK: On the threads

    private func work() {
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
        let workspace = BcryptWorkspace()
        while true {
            signal.wait()
            switch nextTurn() {
            case .run(let job): job.run(workspace)
            case .nothing: continue
            case .leave: return
            }
        }
    }

    private func nextTurn() -> Turn {
        state.withLock { state in
            if !state.waiting.isEmpty { return .run(state.waiting.removeFirst()) }
            return state.isClosed ? .leave : .nothing
        }
    }
}
