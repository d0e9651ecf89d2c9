import Contract

/// Removes keys whose time is up while the gateway serves. Any number of gateways may do so side by side.
public struct IdempotencySweeper: Sendable {
    private let store: IdempotencyStore
    private let pause: Duration

    /// Keys in one transaction.
    private static let batch = 1000

    public init(store: IdempotencyStore, every pause: Duration = .seconds(60)) {
        self.store = store
        self.pause = pause
    }

    /// Sweeps until its task is cancelled.
    public func run() async {
        while !Task.isCancelled {
            // A Postgres that does not answer is told of elsewhere; the keys are still there the next time, and count for nothing.
            while (try? await store.sweep(most: Self.batch)) == Self.batch {}
            // Between two looks; fails only where the sweeper is to stop.
            guard (try? await Task.sleep(for: pause)) != nil else { return }
        }
    }
}
