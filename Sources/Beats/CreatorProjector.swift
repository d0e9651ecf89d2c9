import Contract
import CrashPoints
import DataPlane
import PostgresClient

/// Carries a change of what beats show of their creator (name, picture, standing) to the creator's published beats: each gets a new
/// version and an outbox row, so that caches and search index follow as after any change of a beat. What is wrong as it stands is taken
/// from both before that, by `CreatorStandingProjector`: nobody waits for this.
///
/// A delivery marks at most `batch` beats and leaves the rest to another outbox row, which is due together with theirs: the next are marked
/// when these are being delivered, and a write of somebody else's shares a delivery with so many of them and no more.
/// `beats.byline_version` remembers how far it came: a delivery that happens twice marks no beat twice.
public struct CreatorProjector: Projector {
    public let kind = Announcement.Kind.creator
    /// Caches hold beats, and hear of each.
    public let isAnnounced = false
    private let postgres: PostgresAccess
    private let batch: Int64
    private let timeout = Duration.seconds(10)

    public init(postgres: PostgresAccess, batch: Int = 25) {
        self.postgres = postgres
        self.batch = Int64(batch)
    }

    private struct Progress {
        let creator: EntityID
        let version: Int64
        let marked: Int64
    }

    // The creator's row is locked for share, so that the version that is marked is the one whose name the new beat versions show.
    private static let mark = PostgresStatement<Progress>(
        """
        WITH creator AS (SELECT id, version FROM users WHERE id = $1 FOR SHARE),
        stale AS (
            SELECT beats.id FROM beats, creator
            WHERE beats.creator_id = creator.id AND beats.status = 'published' AND beats.byline_version < creator.version
            ORDER BY beats.id LIMIT $2 FOR NO KEY UPDATE OF beats),
        marked AS (
            UPDATE beats SET version = beats.version + 1, byline_version = creator.version, updated_at = now()
            FROM creator WHERE beats.id IN (SELECT id FROM stale) RETURNING beats.id, beats.version),
        announced AS (
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
            SELECT 'beat', id, version, 'upsert' FROM marked
            UNION ALL SELECT 'creator', id, version, 'upsert' FROM creator WHERE (SELECT count(*) FROM marked) = $2)
        SELECT id, version, (SELECT count(*) FROM marked) FROM creator
        """
    ) { row throws(PostgresError) in
        Progress(creator: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), marked: try row.int64(2))
    }

    public func project(_ ids: [EntityID]) async throws(Problem) -> Projection {
        var outcomes: [EntityID: ProjectionOutcome] = [:]
        for id in ids {
            let progress = try await postgres.rows(
                Self.mark, [.uuid(id.rawValue), .int64(batch)], as: .system, within: timeout)
            crash(at: .relayAfterMarkingBeats)
            outcomes[id] = progress.first.map { .shown(version: $0.version) } ?? .refused(reason: "unknown_user")
        }
        return Projection(outcomes)
    }
}
