import Contract
import CrashPoints
import DataPlane
import MongoClient
import PostgresClient

/// Takes a creator's beats out of caches, and those of one whom nobody may see out of lists, at once: before each of them has a version
/// and a delivery of its own (`CreatorProjector`), which for a creator of many takes seconds.
///
/// A row of the search index is hidden behind the fence of the version that follows: what was delivered of that one or a newer one stays.
/// So it does no harm to be late, or to happen twice: every change of a creator gives all his published beats a new version, and its
/// delivery writes what holds. A row that an older delivery still writes after this is gone with that, too.
public struct CreatorStandingProjector: Projector {
    public let kind = Announcement.Kind.standing
    private let postgres: PostgresAccess
    private let beats: CreatorBeats
    private let cache: EntityCache
    private let mongo: MongoAccess
    private let timeout = Duration.seconds(10)

    public init(postgres: PostgresAccess, mongo: MongoAccess, cache: EntityCache) {
        self.postgres = postgres
        beats = CreatorBeats(postgres: postgres, timeout: timeout)
        self.cache = cache
        self.mongo = mongo
    }

    private static let select = PostgresStatement<(EntityID, Int64)>("SELECT id, version FROM users WHERE id = ANY($1)") {
        row throws(PostgresError) in (EntityID(rawValue: try row.uuid(0)), try row.int64(1))
    }

    public func project(_ ids: [EntityID]) async throws(Problem) -> Projection {
        // What is read after this is of these versions or newer ones.
        let creators = try await postgres.rows(Self.select, [.uuids(ids.map(\.rawValue))], as: .system, within: timeout)
        // Caches first, and of everybody: MongoDB may be away for long.
        for (id, _) in creators { try await beats.announceUntold(id, to: cache) }
        crash(at: .relayAfterForgettingBeats)
        var outcomes = Dictionary(ids.map { ($0, ProjectionOutcome.refused(reason: "unknown_user")) }) { first, _ in first }
        for (id, version) in creators { outcomes[id] = try await hide(id) ? .shown(version: version) : .refused(reason: "not_hidden") }
        crash(at: .relayAfterHidingBeats)
        return Projection(outcomes)
    }

    /// Takes the creator's beats out of lists, unless everybody may see him. Answers whether MongoDB did as it was told.
    private func hide(_ creator: EntityID) async throws(Problem) -> Bool {
        var last: EntityID? = EntityID(rawValue: .max)
        while let position = last {
            let page = try await beats.page(of: creator, below: position)
            guard page.beats.first?.isBarred == true else { break }
            let writes = BeatDocuments.withdrawals(page.beats, at: .now)
            // An index that is being filled gets its rows by the deliveries that follow, and a failover that takes these back is made good by
            // them: nobody waits for a majority here.
            let failures = try await mongo.result(within: timeout) { session in
                try session.unsettled { session in
                    try SearchIndex.read(session) { session in
                        let failures = try session.bulkWrite(SearchIndex.collection, writes).failures
                        guard failures.contains(where: { SearchIndex.wasExchanged($0.code) }) else { return failures }
                        return try session.bulkWrite(SearchIndex.collection, writes).failures
                    }
                }.value
            }
            if !failures.isEmpty { return false }
            last = page.next
        }
        return true
    }
}

/// Follows a creator for whoever has changed him: tells caches itself, and waits a little for lists.
public struct CreatorFollowing: CreatorFollower {
    /// Beats that an answer waits for; those of a creator of more are forgotten by whoever delivers the outbox, in no time either.
    private static let most = 20_000

    private let beats: CreatorBeats
    private let cache: EntityCache
    private let watch: ProjectionWatch
    private let wake: @Sendable () -> Void
    private let patience: Duration

    /// `wake` says to the relay of standings that there is something to deliver; `patience` is how long an answer waits for that.
    public init(
        postgres: PostgresAccess, cache: EntityCache, watch: ProjectionWatch, patience: Duration = .seconds(2),
        wake: @escaping @Sendable () -> Void
    ) {
        beats = CreatorBeats(postgres: postgres, timeout: .seconds(2))
        self.cache = cache
        self.watch = watch
        self.wake = wake
        self.patience = patience
    }

    public func follow(_ creator: EntityID, version: Int64) async throws(Problem) {
        let isHidden: Bool
        do throws(Problem) { isHidden = try await beats.announce(creator, to: cache, atMost: Self.most) } catch {
            wake()
            throw error
        }
        wake()
        guard isHidden else { return }
        _ = try await watch.after(.standing, creator, within: patience) { () throws(Problem) in ((), version) }
    }
}
