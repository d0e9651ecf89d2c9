import Contract

/// Brings the copies of one kind of aggregate up to what Postgres says.
///
/// Called again with the same ids after any crash, and by several gateways at once, so every write stands behind a version fence.
public protocol Projector: Sendable {
    var kind: Announcement.Kind { get }

    /// Reads the current state of `ids` and writes it to the copies. Returns what became of each; an id that is not returned is
    /// tried again. Throws where a store did not answer, which counts against no aggregate.
    func project(_ ids: [EntityID]) async throws(Problem) -> [EntityID: ProjectionOutcome]
}

public enum ProjectionOutcome: Sendable, Equatable {
    /// The copies show this version or a newer one.
    case shown(version: Int64)
    /// The copies refuse this state, and will refuse it again. The reason is a code, never a message: messages may carry data.
    case refused(reason: String)
}
