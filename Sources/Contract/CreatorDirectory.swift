/// What a feature that lists by creator needs of the one that owns accounts.
public protocol CreatorDirectory: Sendable {
    /// The id of an active account, named by its id or its username; nil where nobody of that name may be seen.
    /// A name may have changed hands a moment ago: whoever gives something away asks past the caches. Throws `storeUnavailable`.
    func account(_ idOrUsername: String, bypassingCache: Bool) async throws(Problem) -> EntityID?
}
