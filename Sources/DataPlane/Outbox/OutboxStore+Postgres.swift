import Contract
import PostgresClient

/// One row of the outbox under this relay's lease.
struct OutboxRow: Sendable {
    let id: Int64
    let kind: String
    let aggregate: EntityID
    let version: Int64
}

/// One lane of the outbox as its relays use it. All as the `system` principal; no transaction is open while other stores are written.
struct OutboxStore: Sendable {
    private let postgres: PostgresAccess
    private let lane: OutboxLane
    private let timeout = Duration.seconds(5)
    /// What leases and their ends are written as.
    private let notes: PostgresSettings
    let claim: PostgresStatement<OutboxRow>
    private let pending: PostgresStatement<Bool>
    private let waiting: PostgresStatement<Int64>
    private let dead: PostgresStatement<Int64>

    init(postgres: PostgresAccess, lane: OutboxLane) {
        self.postgres = postgres
        self.lane = lane
        notes = lane.mayRepeat ? .repeatable : .system
        claim = PostgresStatement(
            """
            UPDATE outbox SET claim_token = $1, claimed_until = now() + $3::bigint * interval '1 millisecond'
            WHERE id = ANY (ARRAY (
                SELECT id FROM outbox
                WHERE state = 'pending' AND \(lane.condition) AND (claimed_until IS NULL OR claimed_until < now())
                    AND next_at BETWEEN now() - $4::bigint * interval '1 millisecond' AND now() - $5::bigint * interval '1 millisecond'
                ORDER BY next_at, id LIMIT $2
                FOR UPDATE SKIP LOCKED))
            RETURNING id, aggregate_type, aggregate_id, version
            """
        ) { row throws(PostgresError) in
            OutboxRow(
                id: try row.int64(0), kind: try row.text(1), aggregate: EntityID(rawValue: try row.uuid(2)), version: try row.int64(3))
        }
        pending = PostgresStatement("SELECT EXISTS (SELECT FROM outbox WHERE state = 'pending' AND \(lane.condition))") {
            row throws(PostgresError) in try row.bool(0)
        }
        waiting = PostgresStatement("SELECT count(*) FROM outbox WHERE state = 'pending' AND \(lane.condition)") {
            row throws(PostgresError) in try row.int64(0)
        }
        dead = PostgresStatement("SELECT count(*) FROM outbox WHERE state = 'dead' AND \(lane.condition)") {
            row throws(PostgresError) in try row.int64(0)
        }
    }

    /// Takes the lease of as many rows as the lane allows, of those that came due within the last `span`, and `courtesy` ago or earlier.
    func claim(
        token: EntityID, back span: Duration = ClaimReach.everything, courtesy: Duration = .zero
    ) async throws(Problem) -> [OutboxRow] {
        try await postgres.rows(
            claim, parameters(token, back: span, courtesy: courtesy), as: notes,
            within: span == ClaimReach.everything ? ClaimReach.longestSweep : timeout)
    }

    /// The parameters of `claim`.
    func parameters(_ token: EntityID, back span: Duration, courtesy: Duration = .zero) -> [PostgresValue] {
        [
            .uuid(token.rawValue), .int64(lane.batch), .int64(lane.lease.milliseconds), .int64(span.milliseconds),
            .int64(courtesy.milliseconds),
        ]
    }

    private static let acknowledge = PostgresStatement<Void>("DELETE FROM outbox WHERE id = ANY($1) AND claim_token = $2")

    /// Removes delivered rows, unless the lease has passed to another relay.
    func acknowledge(_ rows: [Int64], token: EntityID) async throws(Problem) {
        guard !rows.isEmpty else { return }
        _ = try await postgres.rows(
            Self.acknowledge, [.int64s(rows), .uuid(token.rawValue)], as: notes, within: timeout)
    }

    private static let refuse = PostgresStatement<Void>(
        """
        UPDATE outbox SET attempts = attempts + 1, last_error = $3, claim_token = NULL, claimed_until = NULL,
               state = CASE WHEN attempts + 1 >= $4 THEN 'dead' ELSE 'pending' END,
               next_at = CASE WHEN attempts + 1 >= $4 THEN NULL
                              ELSE now() + least($6::bigint, $5::bigint * 2 ^ attempts) * interval '1 millisecond' * (0.8 + 0.4 * random()) END
        WHERE id = $1 AND claim_token = $2
        """)

    /// Counts an attempt against a row; after as many as the lane allows, or where trying again is `hopeless`, it is a dead letter.
    func refuse(_ row: Int64, token: EntityID, reason: String, hopeless: Bool) async throws(Problem) {
        _ = try await postgres.rows(
            Self.refuse,
            [
                .int64(row), .uuid(token.rawValue), .text(reason), .int64(hopeless ? 1 : lane.attempts),
                .int64(lane.firstWait.milliseconds), .int64(lane.longestWait.milliseconds),
            ], as: notes, within: timeout)
    }

    private static let postpone = PostgresStatement<Void>(
        """
        UPDATE outbox SET claim_token = NULL, claimed_until = NULL, next_at = now() + $3::bigint * interval '1 millisecond'
        WHERE id = ANY($1) AND claim_token = $2
        """)

    /// Ends the lease of rows that a store's outage kept from being delivered, and lets others go first. Costs no attempt.
    func postpone(_ rows: [Int64], token: EntityID) async throws(Problem) {
        guard !rows.isEmpty else { return }
        _ = try await postgres.rows(
            Self.postpone, [.int64s(rows), .uuid(token.rawValue), .int64(lane.postponement.milliseconds)], as: notes, within: timeout)
    }

    private static let release = PostgresStatement<Void>(
        "UPDATE outbox SET claim_token = NULL, claimed_until = NULL, next_at = now() WHERE claim_token = $1")

    /// Ends a lease whatever rows it has, for whoever does not know them. They are due at once.
    func release(token: EntityID) async throws(Problem) {
        _ = try await postgres.rows(Self.release, [.uuid(token.rawValue)], as: notes, within: timeout)
    }

    func deadLetters() async throws(Problem) -> Int64 { try await postgres.rows(dead, [], as: .system, within: timeout).first ?? 0 }

    /// How many rows still wait to be delivered; dead letters do not count.
    func countWaiting() async throws(Problem) -> Int64 { try await postgres.rows(waiting, [], as: .system, within: timeout).first ?? 0 }

    /// Whether any does.
    func hasPending() async throws(Problem) -> Bool {
        try await postgres.rows(pending, [], as: .system, within: timeout).first ?? false
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
