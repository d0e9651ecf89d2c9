import Contract
import DataPlane
import PostgresClient

/// Public profiles have no copy but the caches: delivering a change of one is announcing it. What beats show of their creators is
/// delivered by the beats feature, from outbox rows of kind `creator`.
public struct UserProjector: Projector {
    public let kind = Announcement.Kind.user
    private let postgres: PostgresAccess
    private let timeout = Duration.seconds(5)

    public init(postgres: PostgresAccess) { self.postgres = postgres }

    private static let select = PostgresStatement<(EntityID, Int64)>("SELECT id, version FROM users WHERE id = ANY($1)") {
        row throws(PostgresError) in (EntityID(rawValue: try row.uuid(0)), try row.int64(1))
    }

    public func project(_ ids: [EntityID]) async throws(Problem) -> Projection {
        let versions = try await postgres.rows(Self.select, [.uuids(ids.map(\.rawValue))], as: .system, within: timeout)
        // Accounts are marked, never deleted: an id that Postgres does not know will not turn up later.
        let unknown = Dictionary(ids.map { ($0, ProjectionOutcome.refused(reason: "unknown_user")) }) { first, _ in first }
        return Projection(unknown.merging(versions.map { ($0, .shown(version: $1)) }) { $1 })
    }
}
