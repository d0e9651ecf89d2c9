import Contract

/// What a handler does once its transaction, outbox rows and all, has committed: this gateway forgets what it has cached of the change at
/// once, and the relay begins to deliver. Everything else that has to follow, follows from the outbox.
public struct CommitNotice: Sendable {
    private let cache: EntityCache
    private let wake: @Sendable () -> Void
    private let observer: any Observer

    /// `wake` says to the relays that there is something to deliver.
    public init(cache: EntityCache, observer: any Observer, wake: @escaping @Sendable () -> Void) {
        self.cache = cache
        self.observer = observer
        self.wake = wake
    }

    public func committed(_ changes: [Announcement]) async {
        // The relay announces the same again, for as long as it takes: nothing is lost where no store can be told.
        do throws(Problem) { try await cache.announce(changes) } catch {
            observer.observe(.storeNote(.postgres, "cannot announce at once: \(error.detail)"))
        }
        wake()
    }
}
