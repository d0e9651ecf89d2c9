import Contract
import Synchronization

/// Decides whether a store is to be asked. A pure value: time comes from outside.
///
/// A store is silent when a call has failed and nothing has been answered since that call began. The gate closes then, calls fail
/// without being sent, and the store is only asked for a sign of life; any answer opens the gate. A slow call among others that are
/// answered closes nothing, and one that was slow by itself closes it for no longer than a ping takes.
struct StoreGate {
    private(set) var isOpen = true
    private var lastAnswer: ContinuousClock.Instant?

    /// True where that opens the gate.
    mutating func answered(at now: ContinuousClock.Instant) -> Bool {
        lastAnswer = now
        defer { isOpen = true }
        return !isOpen
    }

    /// True where that closes the gate.
    mutating func failed(began: ContinuousClock.Instant) -> Bool {
        guard isOpen, lastAnswer.map({ $0 < began }) ?? true else { return false }
        isOpen = false
        return true
    }
}

/// One store's gate, and the probing while it is closed. A store that is away costs the calls under way their time limit, and every
/// later one nothing.
final class StoreWatch: Sendable {
    private static let probeLimit = Duration.seconds(1)
    private static let pause = Duration.milliseconds(100)

    let store: StoreName
    private let observer: any Observer
    private let ping: @Sendable (ContinuousClock.Instant) async -> Bool
    private let gate = Mutex(StoreGate())

    /// `ping` says whether the store has answered before the instant that it is given.
    init(_ store: StoreName, observer: any Observer, ping: @escaping @Sendable (ContinuousClock.Instant) async -> Bool) {
        self.store = store
        self.observer = observer
        self.ping = ping
    }

    /// When the call begins. Throws `storeUnavailable` where it is not to be made.
    func begin() throws(Problem) -> ContinuousClock.Instant {
        guard gate.withLock({ $0.isOpen }) else { throw .unavailable(store) }
        return .now
    }

    func answered(since start: ContinuousClock.Instant) {
        observer.observe(.storeCall(store, microseconds: start.elapsedMicroseconds, failed: false))
        hear()
    }

    /// The problem that a failed call comes to: unavailable, overloaded, or something nobody foresaw, whose detail goes to the log alone.
    func failed(since start: ContinuousClock.Instant, isUnavailable: Bool, isFull: Bool, _ detail: @autoclosure () -> String) -> Problem {
        observer.observe(.storeCall(store, microseconds: start.elapsedMicroseconds, failed: true))
        if isFull { return .overloaded }
        guard isUnavailable else {
            return observer.unexpected("\(store.rawValue): \(detail())")
        }
        if gate.withLock({ $0.failed(began: start) }) {
            observer.observe(.storeNote(store, "silent, and not asked until it answers a ping"))
            Task { [weak self] in
                while let self, !self.gate.withLock({ $0.isOpen }) {
                    if await self.ping(.now + Self.probeLimit) {
                        self.hear()
                    } else {
                        // Nobody cancels this task: it ends with the watch, or once the store answers.
                        try? await Task.sleep(for: Self.pause)
                    }
                }
            }
        }
        return .unavailable(store)
    }

    private func hear() {
        if gate.withLock({ $0.answered(at: .now) }) { observer.observe(.storeNote(store, "answers again")) }
    }
}
