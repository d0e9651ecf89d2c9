import Contract
import CrashPoints
import PostgresClient
import Synchronization

/// How the rows of one kind of aggregate stand in the outbox.
public struct OutboxDepth: Sendable, Equatable {
    /// `beat`, `user`, `mail` ...
    public let kind: String
    /// Rows that wait for delivery, and dead letters.
    public let pending: Int64
    public let dead: Int64
    /// Seconds since the oldest row that waits was written; nil where none waits.
    public let oldestSeconds: Int64?
    /// Seconds since the change of the oldest dead letter; nil where there is none.
    public let oldestDeadSeconds: Int64?
}

/// A row that was refused so often that nobody tries again.
public struct DeadLetter: Sendable, Equatable {
    public let id: Int64
    public let kind: String
    public let aggregate: EntityID
    public let version: Int64
    public let attempts: Int64
    /// A code, never a message.
    public let reason: String
    public let createdAt: Timestamp
}

/// What those who run the gateway see of the outbox, and do about dead letters. For admins and commands; never for other requests.
public final class OutboxAdministration: Sendable {
    private let postgres: PostgresAccess
    private let timeout = Duration.seconds(5)
    private let counted = Mutex<[OutboxDepth]>([])

    /// Dead letters that one call replays or purges at most.
    public static let most = 10_000

    public init(postgres: PostgresAccess) { self.postgres = postgres }

    private static let selectDepths = PostgresStatement<OutboxDepth>(
        """
        SELECT aggregate_type, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'dead'),
               extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'pending'))::bigint,
               extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'dead'))::bigint
        FROM outbox GROUP BY aggregate_type ORDER BY aggregate_type
        """
    ) { row throws(PostgresError) in
        OutboxDepth(
            kind: try row.text(0), pending: try row.int64(1), dead: try row.int64(2), oldestSeconds: try row.int64OrNil(3),
            oldestDeadSeconds: try row.int64OrNil(4))
    }

    /// Throws `storeUnavailable` or `overloaded`.
    public func depths() async throws(Problem) -> [OutboxDepth] {
        let depths = try await postgres.rows(Self.selectDepths, [], as: .system, within: timeout)
        counted.withLock { $0 = depths }
        return depths
    }

    /// As last counted, for metrics.
    public var lastDepths: [OutboxDepth] { counted.withLock { $0 } }

    /// Counts from time to time until the task is cancelled.
    public func watch(every pause: Duration = .seconds(10)) async {
        while !Task.isCancelled {
            // A Postgres that does not answer is told of elsewhere; the counts stay as they were.
            _ = try? await depths()
            // Cancelled, it returns at once, and the loop ends.
            try? await Task.sleep(for: pause)
        }
    }

    private static let selectDead = PostgresStatement<DeadLetter>(
        """
        SELECT id, aggregate_type, aggregate_id, version, attempts, coalesce(last_error, ''), created_at
        FROM outbox WHERE state = 'dead' AND id > $1 ORDER BY id LIMIT $2
        """
    ) { row throws(PostgresError) in
        DeadLetter(
            id: try row.int64(0), kind: try row.text(1), aggregate: EntityID(rawValue: try row.uuid(2)), version: try row.int64(3),
            attempts: Int64(try row.int32(4)), reason: try row.text(5), createdAt: Timestamp(microseconds: try row.timestampMicroseconds(6))
        )
    }

    /// Dead letters with ids above `id`, the oldest first. Throws `storeUnavailable` or `overloaded`.
    public func deadLetters(after id: Int64, limit: Int) async throws(Problem) -> [DeadLetter] {
        try await postgres.rows(Self.selectDead, [.int64(id), .int64(Int64(limit))], as: .system, within: timeout)
    }

    private static let replayDead = PostgresStatement<Int64>(
        """
        WITH replayed AS (
            UPDATE outbox SET state = 'pending', attempts = 0, next_at = now(), last_error = NULL
            WHERE id IN (SELECT id FROM outbox WHERE state = 'dead' AND ($1 OR id = ANY($2)) ORDER BY id LIMIT $3) AND state = 'dead'
            RETURNING 1)
        SELECT count(*) FROM replayed
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    private static let purgeDead = PostgresStatement<Int64>(
        """
        WITH purged AS (
            DELETE FROM outbox
            WHERE id IN (SELECT id FROM outbox WHERE state = 'dead' AND ($1 OR id = ANY($2)) ORDER BY id LIMIT $3) AND state = 'dead'
            RETURNING 1)
        SELECT count(*) FROM purged
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    /// What the audit log calls it.
    public static let replayed = "dead_letters_replayed"
    public static let purged = "dead_letters_purged"

    /// Makes the entry of the audit log that accounts for so many dead letters.
    public typealias Accounting = @Sendable (_ count: Int64) -> AuditEvent

    /// Has dead letters tried again, those of `ids` or all of them: for when what refused them is mended. Returns how many; the entry
    /// commits together with it. Throws `storeUnavailable` or `overloaded`.
    public func replay(_ ids: [Int64]?, accounting account: @escaping Accounting) async throws(Problem) -> Int64 {
        try await change(Self.replayDead, ids, account)
    }

    /// Gives dead letters up, those of `ids` or all of them: the copies stay as they are until the next change. Returns and throws as
    /// `replay` does.
    public func purge(_ ids: [Int64]?, accounting account: @escaping Accounting) async throws(Problem) -> Int64 {
        try await change(Self.purgeDead, ids, account)
    }

    private func change(
        _ statement: PostgresStatement<Int64>, _ ids: [Int64]?, _ account: @escaping Accounting
    ) async throws(Problem) -> Int64 {
        let counts = try await postgres.rows(
            statement, [.bool(ids == nil), .int64s(ids ?? []), .int64(Int64(Self.most))], as: .system, within: timeout
        ) { counts in counts.map(account) }
        crash(at: .deadLettersAfterChange)
        return counts.first ?? 0
    }
}
