import Contract

/// What a handler does once its transaction, outbox rows and all, has committed: this gateway forgets what it has cached of the change at
/// once, and the relay begins to deliver. Everything else that has to follow, follows from the outbox.
public struct CommitNotice: Sendable {
    private let cache: EntityCache
    private let follower: (any CreatorFollower)?
    private let wake: @Sendable () -> Void
    private let observer: any Observer

    /// `wake` says to the relays that there is something to deliver; `follower` hears of creators whose works are to follow them.
    public init(
        cache: EntityCache, follower: (any CreatorFollower)? = nil, observer: any Observer, wake: @escaping @Sendable () -> Void
    ) {
        self.cache = cache
        self.follower = follower
        self.observer = observer
        self.wake = wake
    }

    /// Throws `storeUnavailable` where neither Redis nor Postgres could be told of the changes: other instances may show for a moment what
    /// was replaced, so nobody is to take the change for acknowledged. The relay announces it again, for as long as that takes.
    public func committed(_ changes: [Announcement]) async throws(Problem) {
        defer { wake() }
        do throws(Problem) {
            try await cache.announce(changes)
            for change in changes where change.kind == .standing { try await follower?.follow(change.id, version: change.version) }
        } catch {
            observer.observe(.storeNote(.postgres, "cannot announce at once: \(error.detail)"))
            throw Problem(
                .storeUnavailable, "The change is made, but a part of the system cannot be told of it yet.", retryAfter: 1,
                missing: [.postgres])
        }
    }
}
