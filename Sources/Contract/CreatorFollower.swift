/// What the feature that owns a creator's works does when what they show of him has changed. Called once that has committed, by whoever
/// has written it.
public protocol CreatorFollower: Sendable {
    /// From its return no gateway shows a work as it was before `version` of the creator for longer than caches may take to hear of it, and
    /// lists hold none of his works any more if he may not be seen, unless that takes longer than a writer is kept waiting.
    ///
    /// Throws where caches cannot be told; whoever delivers the outbox tells them again.
    func follow(_ creator: EntityID, version: Int64) async throws(Problem)
}
