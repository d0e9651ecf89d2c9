import Contract

/// Brings the copies of one kind of aggregate up to what Postgres says, or does in the world what its rows ask for.
///
/// Called again with the same ids after any crash, and by several gateways at once, so every write stands behind a version fence.
public protocol Projector: Sendable {
    var kind: Announcement.Kind { get }
    /// Whether caches are to forget what is older than a version that is shown. They are, unless a projector says otherwise.
    var isAnnounced: Bool { get }

    /// Reads the current state of `ids` and writes it to the copies. Returns what became of each. Throws where a store did not answer,
    /// which counts against no aggregate.
    func project(_ ids: [EntityID]) async throws(Problem) -> Projection
}

extension Projector {
    public var isAnnounced: Bool { true }
}

/// What a projector has made of the aggregates it was given.
public struct Projection: Sendable {
    public typealias Settlement = @Sendable () async throws(Problem) -> Void

    /// What became of each; one that is missing is tried again.
    public internal(set) var outcomes: [EntityID: ProjectionOutcome]
    private var settlements: [Settlement]

    /// `settlement` makes sure of what is shown, which until then its store may yet take back. Whoever waits for a write to be shown does
    /// not wait for that; the rows of the outbox do. Throws as ``Projector/project(_:)`` does.
    public init(_ outcomes: [EntityID: ProjectionOutcome], settlement: Settlement? = nil) {
        self.outcomes = outcomes
        settlements = settlement.map { [$0] } ?? []
    }

    mutating func merge(_ other: Projection) {
        outcomes.merge(other.outcomes) { first, _ in first }
        settlements += other.settlements
    }

    func settle() async throws(Problem) {
        for settlement in settlements { try await settlement() }
    }
}

public enum ProjectionOutcome: Sendable, Equatable {
    /// The copies show this version or a newer one.
    case shown(version: Int64)
    /// The copies refuse this state, and most likely will again. The reason is a code, never a message: messages may carry data.
    case refused(reason: String)
    /// As `refused`, but trying again makes no sense: a dead letter at once.
    case hopeless(reason: String)
}
