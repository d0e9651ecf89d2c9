import Contract
import Synchronization

/// Turns many look-ups of single entities into few look-ups of many.
///
/// While one look-up is under way, ids that other requests ask for gather; when it ends they leave together as one `= ANY($1)` or
/// `$in`. There is no timer, so an idle gateway adds no delay. Only facts that every viewer may see are loaded this way.
public final class BatchLoader<Value: Sendable>: Sendable {
    /// The bounds of one loader.
    public struct Limits: Sendable {
        /// Look-ups under way at once. Fewer make larger batches.
        public var inFlight: Int
        /// Ids in one look-up.
        public var batch: Int
        /// Ids waiting; one more is answered with `overloaded` at once.
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

    public typealias Load = @Sendable ([EntityID]) async throws(Problem) -> [EntityID: Value]
    private typealias Answer = Result<[Value?], Problem>

    private struct Request {
        let ids: [EntityID]
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

    /// `kind` names the loader in metrics. `load` bounds its own time; it is called with each id once, in no order.
    public init(kind: String, limits: Limits = Limits(), observer: any Observer, load: @escaping Load) {
        self.kind = kind
        self.limits = limits
        self.observer = observer
        self.load = load
    }

    /// The values for `ids`, in their order; nil where there is none. Throws what the look-up threw, or `overloaded`.
    public func values(for ids: [EntityID]) async throws(Problem) -> [Value?] {
        guard !ids.isEmpty else { return [] }
        let answer = await withUnsafeContinuation { (continuation: UnsafeContinuation<Answer, Never>) in
            let start: Bool? = state.withLock { state in
                guard state.waiting + ids.count <= limits.waiting else { return nil }
                state.queue.append(Request(ids: ids, since: .now, continuation: continuation))
                state.waiting += ids.count
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

    public func value(for id: EntityID) async throws(Problem) -> Value? {
        try await values(for: [id])[0]
    }

    /// Ids that wait for their look-up to begin.
    public var waiting: Int { state.withLock { $0.waiting } }

    /// Loads batch after batch until nothing waits.
    private func run() async {
        while let requests = takeBatch() {
            var ids: [EntityID] = []
            var seen = Set<EntityID>(minimumCapacity: requests.count)
            for request in requests {
                for id in request.ids where seen.insert(id).inserted { ids.append(id) }
            }
            let start = ContinuousClock.now
            do throws(Problem) {
                let found = try await load(ids)
                observer.observe(.batch(kind: kind, size: ids.count, microseconds: start.elapsedMicroseconds))
                for request in requests {
                    request.continuation.resume(returning: .success(request.ids.map { found[$0] }))
                }
            } catch {
                observer.observe(.batch(kind: kind, size: ids.count, microseconds: start.elapsedMicroseconds))
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
            while count < state.queue.count, size == 0 || size + state.queue[count].ids.count <= limits.batch {
                size += state.queue[count].ids.count
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
            state.waiting -= taken.reduce(0) { $0 + $1.ids.count }
            return taken
        }
    }
}
