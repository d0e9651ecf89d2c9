import Contract
import Synchronization

/// Turns many small writes into few large ones, each acknowledged only when it is durable.
///
/// While one write is under way, items that other tasks add gather; when it ends they leave together. There is no timer, so an idle
/// gateway adds no delay. For items that stand each for itself: where one is refused, the others are written without it.
public final class GroupCommit<Item: Sendable>: Sendable {
    /// The bounds of one group.
    public struct Limits: Sendable {
        /// Items in one write.
        public var batch: Int
        /// Items waiting; one more is answered with `overloaded` at once.
        public var waiting: Int
        /// How long an item may wait for its write to begin; after that it is answered with `overloaded`, and not written.
        public var patience: Duration

        public init(batch: Int = 256, waiting: Int = 4096, patience: Duration = .seconds(2)) {
            self.batch = batch
            self.waiting = waiting
            self.patience = patience
        }
    }

    /// Makes some items durable together.
    public typealias Write = @Sendable ([Item]) async throws(Problem) -> Void
    private typealias Outcome = Result<Void, Problem>

    private struct Request {
        let item: Item
        let since: ContinuousClock.Instant
        let continuation: UnsafeContinuation<Outcome, Never>
    }

    private struct State {
        var queue: [Request] = []
        var isWriting = false
    }

    private let kind: String
    private let limits: Limits
    private let observer: any Observer
    private let write: Write
    private let state = Mutex(State())

    /// `kind` names the group in metrics. `write` bounds its own time, and writes all it is given or nothing.
    public init(kind: String, limits: Limits = Limits(), observer: any Observer, write: @escaping Write) {
        self.kind = kind
        self.limits = limits
        self.observer = observer
        self.write = write
    }

    /// Returns once `item` is written. Throws what the write threw, or `overloaded`.
    public func add(_ item: Item) async throws(Problem) {
        let outcome = await withUnsafeContinuation { (continuation: UnsafeContinuation<Outcome, Never>) in
            let begins: Bool? = state.withLock { state in
                guard state.queue.count < limits.waiting else { return nil }
                state.queue.append(Request(item: item, since: .now, continuation: continuation))
                defer { state.isWriting = true }
                return !state.isWriting
            }
            switch begins {
            case nil: continuation.resume(returning: .failure(.overloaded))
            case true?: Task { await self.run() }
            case false?: break
            }
        }
        try outcome.get()
    }

    /// Items that wait for their write to begin.
    public var waiting: Int { state.withLock { $0.queue.count } }

    /// Writes batch after batch until nothing waits.
    private func run() async {
        while let requests = takeBatch() {
            let start = ContinuousClock.now
            await write(requests[...])
            observer.observe(.batch(kind: kind, size: requests.count, microseconds: start.elapsedMicroseconds))
        }
    }

    /// Where a batch fails for a reason that is no outage, one of it is at fault: alone, it is the only one to suffer.
    private func write(_ requests: ArraySlice<Request>) async {
        let outcome: Outcome
        do throws(Problem) {
            try await write(requests.map(\.item))
            outcome = .success(())
        } catch {
            if error.code == .internal, requests.count > 1 {
                let middle = requests.startIndex + requests.count / 2
                await write(requests[..<middle])
                await write(requests[middle...])
                return
            }
            outcome = .failure(error)
        }
        for request in requests { request.continuation.resume(returning: outcome) }
    }

    /// The next write's; nil, and no write under way, when none waits.
    private func takeBatch() -> [Request]? {
        let oldest = ContinuousClock.now - limits.patience
        let (impatient, taken): ([Request], [Request]?) = state.withLock { state in
            let late = state.queue.firstIndex { $0.since > oldest } ?? state.queue.count
            let impatient = Array(state.queue[..<late])
            let taken = Array(state.queue[late...].prefix(limits.batch))
            state.queue.removeFirst(late + taken.count)
            if taken.isEmpty { state.isWriting = false }
            return (impatient, taken.isEmpty ? nil : taken)
        }
        for request in impatient { request.continuation.resume(returning: .failure(.overloaded)) }
        return taken
    }
}
