import Contract
import DataPlane

/// Appends entries to the chain while the gateway serves, and makes the log's partitions ahead. Any number of gateways may do so side by
/// side: one is at it at a time.
public struct AuditSealer: Sendable {
    private let chain: AuditChain
    private let observer: any Observer

    /// Entries in one transaction.
    private static let batch = 500
    private static let idle = Duration.seconds(1)
    private static let outage = Duration.seconds(5)
    private static let betweenMonths = Duration.seconds(3600)

    public init(postgres: PostgresAccess, observer: any Observer) {
        chain = AuditChain(postgres: postgres, timeout: .seconds(10))
        self.observer = observer
    }

    /// Seals until its task is cancelled; a transaction that this cuts short appends nothing.
    public func run() async {
        var monthsAreDue = ContinuousClock.now
        var isFailing = false
        while !Task.isCancelled {
            var pause = Self.idle
            do throws(Problem) {
                if monthsAreDue <= .now {
                    try await chain.makeMonths()
                    monthsAreDue = .now + Self.betweenMonths
                }
                if try await chain.seal(most: Self.batch) == Self.batch { pause = .zero }
                isFailing = false
            } catch {
                // Said once an outage: entries wait in the database, and nothing is lost by it.
                if !isFailing, !Task.isCancelled { observer.observe(.lifecycle("audit entries are not sealed for now: \(error.detail)")) }
                isFailing = true
                pause = Self.outage
            }
            // Between two looks at the queue; fails only where the sealer is to stop.
            guard (try? await Task.sleep(for: pause)) != nil else { return }
        }
    }

    /// Seals whatever waits. Answers how many entries that were. Throws `storeUnavailable`, `overloaded` or `internal`.
    public func drain() async throws(Problem) -> Int {
        var count = 0
        while true {
            let sealed = try await chain.seal(most: Self.batch)
            guard sealed > 0 else { return count }
            count += sealed
        }
    }
}
