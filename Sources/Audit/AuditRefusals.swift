import Contract
import Synchronization

/// Files what the edge refuses: one entry a minute for each network and kind, once there is something to say. A flood of requests must
/// not become a flood of entries, and a token that has expired is no event.
public final class AuditRefusals: RefusalWatch {
    private struct Key: Hashable {
        let network: ClientAddress
        let refusal: Refusal
    }

    private struct Window {
        var until: ContinuousClock.Instant
        var counts: [Key: Int] = [:]
    }

    /// Networks and kinds that are counted at once; a minute has no more to tell than that.
    private static let mostCounted = 10_000
    private static let length = Duration.seconds(60)

    private let trail: any AuditTrail
    private let now: @Sendable () -> ContinuousClock.Instant
    private let window: Mutex<Window>

    /// `now` is for tests.
    public init(trail: any AuditTrail, now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }) {
        self.trail = trail
        self.now = now
        window = Mutex(Window(until: now() + Self.length))
    }

    public func refused(_ refusal: Refusal, _ caller: Caller, route: String?) {
        guard isWorthAnEntry(Key(network: caller.address.network, refusal: refusal)) else { return }
        var metadata: [AuditEvent.Detail: String] = [.count: String(Self.threshold(refusal))]
        if let route { metadata[.route] = route }
        let event = AuditEvent(refusal.rawValue, refusal == .rateLimited ? .limit : .signIn, .warning, caller: caller, metadata: metadata)
        Task { [trail] in
            // A trail that cannot be written has said so itself, and the request is refused either way.
            try? await trail.record(event)
        }
    }

    /// Refusals within a minute that make an entry.
    static func threshold(_ refusal: Refusal) -> Int {
        switch refusal {
        case .deadCredential: 10
        case .rateLimited: 1
        }
    }

    private func isWorthAnEntry(_ key: Key) -> Bool {
        window.withLock { window in
            let now = now()
            if now >= window.until { window = Window(until: now + Self.length) }
            guard window.counts.count < Self.mostCounted || window.counts[key] != nil else { return false }
            window.counts[key, default: 0] += 1
            return window.counts[key] == Self.threshold(key.refusal)
        }
    }
}
