import Contract
import Synchronization

/// Turns many look-ups by single keys into few look-ups by many.
///
/// While one look-up is under way, keys that other requests ask for gather; when it ends they leave together as one `= ANY($1)` or
/// `$in`. There is no timer, so an idle gateway adds no delay. Only what is the same whoever asks is
/// loaded this way: facts that every viewer may see, and what the sign-in desk knows.
public final class BatchLoader<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// The bounds of one loader.
    public struct Limits: Sendable {
        /// Look-ups under way at once. Fewer make larger batches.
        public var inFlight: Int
        /// Keys in one look-up.
        public var batch: Int
        /// Keys waiting; one more is answered with `overloaded` at once.
        public var waiting: Int
        /// How long a request may wait for its look-up to begin; after that it is answered with `overloaded`.
        public var patience: Duration

        public init(inFlight: Int = 1, batch: Int = 128, waiting: Int = 8192, patience: Duration = .seconds(2)) {
            self.inFlight = inFlight
            self.batch = batch
            self.waiting = waiting
            self.patience = patience
        }
    }

    /// Brings the values of some keys, with one look-up; a key without a value is left out.
    public typealias Load = @Sendable ([Key]) async throws(Problem) -> [Key: Value]
    private typealias Answer = Result<[Value?], Problem>

    private struct Request {
        let keys: [Key]
        let since: ContinuousClock.Instant
        let continuation: UnsafeContinuation<Answer, Never>
    }

    private struct State {
        var queue: [Request] = []
        var waiting = 0
        var inFlight = 0
    }

    private let kind: String
    private let limits: Limits
    private let observer: any Observer
    private let load: Load
    private let state = Mutex(State())

    /// `kind` names the loader in metrics. `load` bounds its own time; it is called with each key once, in no order.
    public init(kind: String, limits: Limits = Limits(), observer: any Observer, load: @escaping Load) {
        self.kind = kind
        self.limits = limits
        self.observer = observer
        self.load = load
    }

    /// The values for `keys`, in their order; nil where there is none. Throws what the look-up threw, or `overloaded`.
    public func values(for keys: [Key]) async throws(Problem) -> [Value?] {
        guard !keys.isEmpty else { return [] }
        let answer = await withUnsafeContinuation { (continuation: UnsafeContinuation<Answer, Never>) in
            let start: Bool? = state.withLock { state in
                guard state.waiting + keys.count <= limits.waiting else { return nil }
                state.queue.append(Request(keys: keys, since: .now, continuation: continuation))
                state.waiting += keys.count
                guard state.inFlight < limits.inFlight else { return false }
                state.inFlight += 1
                return true
            }
            switch start {
            case nil: continuation.resume(returning: .failure(.overloaded))
            case true?: Task { await self.run() }
            case false?: break
            }
        }
        return try answer.get()
    }

    /// The value for `key`; nil where there is none. Throws what `values` throws.
    public func value(for key: Key) async throws(Problem) -> Value? {
        try await values(for: [key])[0]
    }

    /// Keys that wait for their look-up to begin.
    public var waiting: Int { state.withLock { $0.waiting } }

    /// Loads batch after batch until nothing waits.
    private func run() async {
        while let requests = takeBatch() {
            var keys: [Key] = []
            var seen = Set<Key>(minimumCapacity: requests.count)
            for request in requests {
                for key in request.keys where seen.insert(key).inserted { keys.append(key) }
            }
            let start = ContinuousClock.now
            do throws(Problem) {
                let found = try await load(keys)
                observer.observe(.batch(kind: kind, size: keys.count, microseconds: start.elapsedMicroseconds))
                for request in requests {
                    request.continuation.resume(returning: .success(request.keys.map { found[$0] }))
                }
            } catch {
                observer.observe(.batch(kind: kind, size: keys.count, microseconds: start.elapsedMicroseconds))
                for request in requests { request.continuation.resume(returning: .failure(error)) }
            }
        }
    }

    /// The requests of the next look-up, whole; nil, and one look-up fewer under way, when none waits.
    private func takeBatch() -> [Request]? {
        for request in takeImpatient() { request.continuation.resume(returning: .failure(.overloaded)) }
        return state.withLock { state in
            guard !state.queue.isEmpty else {
                state.inFlight -= 1
                return nil
            }
            var count = 0
            var size = 0
            while count < state.queue.count, size == 0 || size + state.queue[count].keys.count <= limits.batch {
                size += state.queue[count].keys.count
                count += 1
            }
            let taken = Array(state.queue[..<count])
            state.queue.removeFirst(count)
            state.waiting -= size
            return taken
        }
    }

    /// Those at the head of the queue that have waited too long: a slow store must not make a queue of answers nobody waits for.
    private func takeImpatient() -> [Request] {
        let oldest = ContinuousClock.now - limits.patience
        return state.withLock { state in
            let count = state.queue.firstIndex { $0.since > oldest } ?? state.queue.count
            guard count > 0 else { return [] }
            let taken = Array(state.queue[..<count])
            state.queue.removeFirst(count)
            state.waiting -= taken.reduce(0) { $0 + $1.keys.count }
            return taken
        }
    }
}
