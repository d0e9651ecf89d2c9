import Contract
import CrashPoints
import PostgresClient

/// Keys and answers in `idempotency_keys`. Each row is its principal's alone, by row security.
///
/// Nothing here waits for the disk. A claim is in the log of the server before whatever its request commits, so the COMMIT that makes the
/// effect last makes the claim last too; an answer that a crash of the server takes along is put together anew by the next request.
public struct IdempotencyStore: IdempotencyKeys {
    private let postgres: PostgresAccess
    private let timeout: Duration
    /// How long a key stands for its request.
    private let lifetime: Duration

    public init(postgres: PostgresAccess, timeout: Duration = .seconds(2), lifetime: Duration = .seconds(24 * 3600)) {
        self.postgres = postgres
        self.timeout = timeout
        self.lifetime = lifetime
    }

    // MARK: Claiming

    private struct Row: Sendable {
        let isClaimed: Bool
        let effect: EntityID
        let isCarriedOut: Bool
        let isSame: Bool
        let secondsLeft: Int32
        let answer: KeptAnswer?
    }

    // A row is taken over when its time is up, or when whoever has it has had his. Where it is not, the second half reads it; neither
    // half sees a row that another claim has committed while this one waited for it.
    private static let claim = PostgresStatement<Row>(
        """
        WITH claimed AS (
            INSERT INTO idempotency_keys AS held (principal_id, key, fingerprint, claim, effect_id, locked_until, expires_at)
            VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 millisecond', now() + $7 * interval '1 millisecond')
            ON CONFLICT (principal_id, key) DO UPDATE SET
                fingerprint = excluded.fingerprint, claim = excluded.claim, locked_until = excluded.locked_until,
                state = 'running', status = NULL, header_fields = NULL, body = NULL,
                effect_id = CASE WHEN held.expires_at > now() THEN held.effect_id ELSE excluded.effect_id END,
                carried_out_at = CASE WHEN held.expires_at > now() THEN held.carried_out_at END,
                created_at = CASE WHEN held.expires_at > now() THEN held.created_at ELSE now() END,
                expires_at = CASE WHEN held.expires_at > now() THEN held.expires_at ELSE excluded.expires_at END
            WHERE held.expires_at <= now()
                OR held.state = 'running' AND held.locked_until <= now() AND held.fingerprint = excluded.fingerprint
            RETURNING effect_id, carried_out_at IS NOT NULL AS is_carried_out)
        SELECT true, effect_id, is_carried_out, true, 0, NULL::int, NULL::text[], NULL::bytea FROM claimed
        UNION ALL
        SELECT false, effect_id, false, fingerprint = $3, ceil(extract(epoch FROM locked_until - now()))::int, status::int, header_fields, body
        FROM idempotency_keys WHERE principal_id = $1 AND key = $2 AND NOT EXISTS (SELECT FROM claimed)
        """
    ) { row throws(PostgresError) in
        var answer: KeptAnswer?
        if let status = try row.int32OrNil(5) {
            answer = KeptAnswer(status: Int(status), fields: fields(try row.texts(6)), body: try row.bytes(7))
        }
        return Row(
            isClaimed: try row.bool(0), effect: EntityID(rawValue: try row.uuid(1)), isCarriedOut: try row.bool(2),
            isSame: try row.bool(3), secondsLeft: try row.int32(4), answer: answer)
    }

    /// How often a claim looks again where what it waited for was gone, or not to be seen yet.
    private static let attempts = 3

    public func claim(
        _ key: IdempotencyKey, for principal: Principal, fingerprint: [UInt8], lease: Duration
    ) async throws(Problem) -> IdempotencyVerdict {
        guard let owner = principal.owner else { throw .unauthenticated }
        let (token, effect) = (EntityID.now, EntityID.now)
        for _ in 0..<Self.attempts {
            let rows = try await postgres.rows(
                Self.claim,
                [
                    .uuid(owner.rawValue), .text(key.description), .bytes(fingerprint), .uuid(token.rawValue), .uuid(effect.rawValue),
                    .int64(Int64(lease / .milliseconds(1))), .int64(Int64(lifetime / .milliseconds(1))),
                ], as: Self.settings(principal), within: timeout)
            guard let row = rows.first else { continue }
            if row.isClaimed {
                crash(at: .keyAfterClaim)
                return .carryOut(
                    IdempotencyClaim(
                        principal: principal, key: key, token: token, effect: row.effect, isCarriedOut: row.isCarriedOut))
            }
            guard row.isSame else {
                throw Problem(.idempotencyKeyReused, "This Idempotency-Key was sent with another request; each has a key of its own.")
            }
            if let answer = row.answer { return .answered(answer) }
            throw Self.inUse(secondsLeft: Int(row.secondsLeft))
        }
        throw Self.inUse(secondsLeft: 1)
    }

    /// Most requests are done in far less time than they have.
    private static let soonest = 2

    private static func inUse(secondsLeft: Int) -> Problem {
        Problem(
            .idempotencyKeyInUse, "The request of this Idempotency-Key is being carried out; send it again in a moment.",
            retryAfter: max(1, min(secondsLeft, soonest)))
    }

    // MARK: Settling

    private static let settle = "WHERE principal_id = $1 AND key = $2 AND claim = $3 AND state = 'running'"
    private static let kept =
        "UPDATE idempotency_keys SET state = 'done', status = $4, header_fields = $5, body = $6, locked_until = now() \(settle)"
    private static let keep = PostgresStatement<Void>(kept)
    private static let release = PostgresStatement<Void>("UPDATE idempotency_keys SET locked_until = now() \(settle)")
    private static let forget = PostgresStatement<Void>(
        """
        WITH forgotten AS (DELETE FROM idempotency_keys \(settle) AND carried_out_at IS NULL)
        \(kept) AND carried_out_at IS NOT NULL
        """)

    public func settle(_ claim: IdempotencyClaim, _ outcome: IdempotencyOutcome) async throws(Problem) {
        guard let owner = claim.principal.owner else { return }
        crash(at: .keyBeforeSettling)
        let held: [PostgresValue] = [.uuid(owner.rawValue), .text(claim.key.description), .uuid(claim.token.rawValue)]
        let (statement, values): (PostgresStatement<Void>, [PostgresValue]) =
            switch outcome {
            case .answered(let answer): (Self.keep, Self.values(answer))
            case .refused(let answer): (Self.forget, Self.values(answer))
            case .open: (Self.release, [])
            }
        _ = try await postgres.rows(statement, held + values, as: Self.settings(claim.principal), within: timeout)
    }

    private static func settings(_ principal: Principal) -> PostgresSettings {
        PostgresSettings(principal, with: [("synchronous_commit", "off")])
    }

    private static func values(_ answer: KeptAnswer) -> [PostgresValue] {
        [.int32(Int32(answer.status)), .texts(answer.fields.flatMap { [$0.name, $0.value] }), .bytes(answer.body)]
    }

    /// Names and values in turn.
    private static func fields(_ texts: [String]) -> [KeptAnswer.Field] {
        stride(from: 0, to: texts.count - 1, by: 2).map { KeptAnswer.Field(texts[$0], texts[$0 + 1]) }
    }

    // MARK: Sweeping

    // What another gateway is at is left to it.
    private static let sweep = PostgresStatement<Int64>(
        """
        WITH swept AS (
            DELETE FROM idempotency_keys WHERE (principal_id, key) IN (
                SELECT principal_id, key FROM idempotency_keys WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
                FOR UPDATE SKIP LOCKED)
            RETURNING 1)
        SELECT count(*) FROM swept
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    /// Removes keys whose time is up, so many at most. Returns how many that were. Throws `storeUnavailable` or `overloaded`.
    public func sweep(most: Int) async throws(Problem) -> Int {
        Int(try await postgres.rows(Self.sweep, [.int64(Int64(most))], as: .system, within: timeout).first ?? 0)
    }
}
