import Contract
import DataPlane
import PostgresClient

/// Which beats of a creator are to follow him, and how far.
struct CreatorBeats: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration
    /// Beats that are read at a time.
    private static let page: Int64 = 5_000
    /// Beats that one message to caches names: whoever hears it has other things to hear as well.
    private static let message = 1_000

    /// A published beat of the creator.
    struct Following: Sendable {
        let id: EntityID
        /// The first version that was made, or will be, with the creator as he is now.
        let version: Int64
        /// Whether nobody may see the creator, and so none of his beats.
        let isBarred: Bool
    }

    // A beat that has not followed yet has its next version still to come: `CreatorProjector` makes it.
    private static let select = PostgresStatement<Following>(
        """
        SELECT beats.id, beats.version + CASE WHEN beats.byline_version < users.version THEN 1 ELSE 0 END, users.status <> 'active'
        FROM beats JOIN users ON users.id = beats.creator_id
        WHERE beats.creator_id = $1 AND beats.status = 'published' AND beats.id < $2 ORDER BY beats.id DESC LIMIT $3
        """
    ) { row throws(PostgresError) in
        Following(id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), isBarred: try row.bool(2))
    }

    /// The published beats of a creator below `last`, from the end, and where the next page begins; nil where there is none. Throws
    /// `storeUnavailable` or `overloaded`.
    func page(
        of creator: EntityID, below last: EntityID = EntityID(rawValue: .max)
    ) async throws(Problem) -> (beats: [Following], next: EntityID?) {
        let beats = try await postgres.rows(
            Self.select, [.uuid(creator.rawValue), .uuid(last.rawValue), .int64(Self.page)], as: .system, within: timeout)
        return (beats, beats.count < Int(Self.page) ? nil : beats.last?.id)
    }

    /// Has caches forget up to `most` beats of a creator as they are without him as he is now. A version that is still to come is announced
    /// like one that is there: what is older is served no more, and what is read meanwhile is as Postgres has it. Answers whether lists
    /// have beats of his that nobody may see any more. Throws what `EntityCache.announce` and `page` throw.
    func announce(_ creator: EntityID, to cache: EntityCache, atMost most: Int) async throws(Problem) -> Bool {
        var count = 0
        var isBarred = false
        var last: EntityID? = EntityID(rawValue: .max)
        while let position = last, count < most {
            let page = try await page(of: creator, below: position)
            for message in Self.messages(page.beats) { try await cache.announce(message) }
            isBarred = isBarred || page.beats.contains(where: \.isBarred)
            count += page.beats.count
            last = page.next
        }
        return isBarred
    }

    /// Has caches forget those that nobody has announced yet, because whoever changed the creator died before he could, or because they are
    /// too many for an answer to wait. Throws as `announce` does.
    func announceUntold(_ creator: EntityID, to cache: EntityCache) async throws(Problem) {
        var last: EntityID? = EntityID(rawValue: .max)
        while let position = last {
            let page = try await page(of: creator, below: position)
            for message in Self.messages(page.beats) { try await cache.announceUntold(message) }
            last = page.next
        }
    }

    private static func messages(_ beats: [Following]) -> [[Announcement]] {
        stride(from: 0, to: beats.count, by: message).map { start in
            beats[start..<min(start + message, beats.count)].map { Announcement(kind: .beat, id: $0.id, version: $0.version) }
        }
    }
}
