import Contract
import RedisClient

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
        if !changes.isEmpty {
            // The relay announces the same again, for as long as it takes: nothing is lost where Redis is away.
            do throws(RedisError) { try await cache.announce(changes) } catch {
                observer.observe(.storeNote(.redis, "cannot announce at once: \(error.debugDescription)"))
            }
        }
        wake()
    }
}
