import Contract
import PostgresClient

/// One row of the outbox under this relay's lease.
struct OutboxRow: Sendable {
    let id: Int64
    let kind: String
    let aggregate: EntityID
    let version: Int64
}

/// The outbox as the relay uses it. All as the `system` principal; no transaction is open while other stores are written.
struct OutboxStore: Sendable {
    let postgres: PostgresAccess
    let timeout = Duration.seconds(5)
    /// Attempts that one aggregate's own refusals may take before the row becomes a dead letter.
    static let maximumAttempts: Int64 = 8

    private static let claim = PostgresStatement<OutboxRow>(
        """
        UPDATE outbox SET claim_token = $1, claimed_until = now() + interval '30 seconds'
        WHERE id IN (
            SELECT id FROM outbox
            WHERE state = 'pending' AND next_at <= now() AND (claimed_until IS NULL OR claimed_until < now())
            ORDER BY next_at, id LIMIT $2
            FOR UPDATE SKIP LOCKED)
        RETURNING id, aggregate_type, aggregate_id, version
        """
    ) { row throws(PostgresError) in
        OutboxRow(id: try row.int64(0), kind: try row.text(1), aggregate: EntityID(rawValue: try row.uuid(2)), version: try row.int64(3))
    }

    /// Takes the lease of up to `limit` due rows.
    func claim(_ limit: Int64, token: EntityID) async throws(Problem) -> [OutboxRow] {
        try await postgres.rows(Self.claim, [.uuid(token.rawValue), .int64(limit)], as: .system, within: timeout)
    }

    private static let acknowledge = PostgresStatement<Void>("DELETE FROM outbox WHERE id = ANY($1) AND claim_token = $2")

    /// Removes delivered rows, unless the lease has passed to another relay.
    func acknowledge(_ rows: [Int64], token: EntityID) async throws(Problem) {
        guard !rows.isEmpty else { return }
        _ = try await postgres.rows(
            Self.acknowledge, [.int64s(rows), .uuid(token.rawValue)], as: .system, within: timeout)
    }

    private static let refuse = PostgresStatement<Void>(
        """
        UPDATE outbox SET attempts = attempts + 1, last_error = $3, claim_token = NULL, claimed_until = NULL,
               state = CASE WHEN attempts + 1 >= $4 THEN 'dead' ELSE 'pending' END,
               next_at = CASE WHEN attempts + 1 >= $4 THEN NULL
                              ELSE now() + least(interval '60 seconds', interval '250 milliseconds' * 2 ^ attempts) * (0.8 + 0.4 * random()) END
        WHERE id = $1 AND claim_token = $2
        """)

    /// Counts an attempt against a row; after `maximumAttempts` it is a dead letter.
    func refuse(_ row: Int64, token: EntityID, reason: String) async throws(Problem) {
        _ = try await postgres.rows(
            Self.refuse, [.int64(row), .uuid(token.rawValue), .text(reason), .int64(Self.maximumAttempts)], as: .system,
            within: timeout)
    }

    private static let postpone = PostgresStatement<Void>(
        """
        UPDATE outbox SET claim_token = NULL, claimed_until = NULL, next_at = now() + interval '2 seconds'
        WHERE id = ANY($1) AND claim_token = $2
        """)

    /// Ends the lease of rows that a store's outage kept from being delivered, and lets others go first. Costs no attempt.
    func postpone(_ rows: [Int64], token: EntityID) async throws(Problem) {
        guard !rows.isEmpty else { return }
        _ = try await postgres.rows(
            Self.postpone, [.int64s(rows), .uuid(token.rawValue)], as: .system, within: timeout)
    }

    private static let pending = PostgresStatement<Bool>("SELECT EXISTS (SELECT FROM outbox WHERE state = 'pending')") {
        row throws(PostgresError) in try row.bool(0)
    }

    private static let dead = PostgresStatement<Int64>("SELECT count(*) FROM outbox WHERE state = 'dead'") {
        row throws(PostgresError) in try row.int64(0)
    }

    func deadLetters() async throws(Problem) -> Int64 {
        try await postgres.rows(Self.dead, [], as: .system, within: timeout).first ?? 0
    }

    /// Whether anything still waits to be delivered; dead letters do not count.
    func hasPending() async throws(Problem) -> Bool {
        try await postgres.rows(Self.pending, [], as: .system, within: timeout).first ?? false
    }
}
