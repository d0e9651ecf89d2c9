import Contract
import DataPlane
import PostgresClient

/// Shares of what beats earn, as the account that acts: row security shows an account its own offers and those it made.
struct BeatSplitStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    private static let select = PostgresStatement<BeatSplit>(
        """
        SELECT split.user_id, users.username, split.share, split.accepted_at
        FROM beat_splits AS split JOIN users ON users.id = split.user_id
        WHERE split.beat_id = $1 ORDER BY split.share DESC, split.user_id
        """
    ) { row throws(PostgresError) in
        BeatSplit(
            user: EntityID(rawValue: try row.uuid(0)), username: try row.text(1),
            share: .init(hundredths: try row.numericMinorUnits(2, scale: 2)),
            acceptedAt: try row.timestampMicrosecondsOrNil(3).map { Timestamp(microseconds: $0) })
    }

    /// Throws `storeUnavailable` or `overloaded`.
    func splits(of beat: EntityID, for account: Account) async throws(Problem) -> [BeatSplit] {
        try await postgres.rows(Self.select, [.uuid(beat.rawValue)], as: PostgresSettings(.account(account)), within: timeout)
    }

    private static let lock = PostgresStatement<String>(
        "SELECT status FROM beats WHERE id = $1 AND creator_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE"
    ) { row throws(PostgresError) in try row.text(0) }

    private static let withdraw = PostgresStatement<Void>(
        """
        DELETE FROM beat_splits WHERE beat_id = $1
            AND (user_id, share) NOT IN (SELECT * FROM unnest($2::uuid[], $3::numeric[]))
        """)

    private static let offer = PostgresStatement<Void>(
        """
        INSERT INTO beat_splits (beat_id, user_id, share, offered_by, accepted_at)
        SELECT $1, new.user_id, new.share, $4, CASE WHEN new.user_id = $4 THEN now() END
        FROM unnest($2::uuid[], $3::numeric[]) AS new (user_id, share)
        WHERE NOT EXISTS (SELECT FROM beat_splits WHERE beat_id = $1 AND beat_splits.user_id = new.user_id)
        """)

    /// Replaces the offers of a beat of the account's own; what stays the same stays accepted. Throws `notFound` where it is not the
    /// account's, `conflict` while it is published, `invalid` for an account that is not there; `storeUnavailable` or `overloaded`.
    func replace(_ offers: [BeatSplit.Offer], of beat: EntityID, by account: Account, filing event: AuditEvent) async throws(Problem) {
        let unknown = Problem.invalid([.init("splits", "names an account that is not there")])
        let lists: [PostgresValue] = [
            .uuid(beat.rawValue), .uuids(offers.map(\.user.rawValue)), .numerics(offers.map(\.share.decimal)),
        ]
        let key: [PostgresValue] = [.uuid(beat.rawValue), .uuid(account.id.rawValue)]
        let offered = lists + [.uuid(account.id.rawValue)]
        try await postgres.transaction(
            as: PostgresSettings(.account(account)), within: timeout, refusals: ["beat_splits_user_id_fkey": unknown]
        ) { transaction in
            let status = try await transaction.query(Self.lock, key).first
            guard let status else { throw Problem.notFound("beat") }
            guard status != BeatStatus.published.rawValue else { throw Self.isPublished }
            try await transaction.execute(Self.withdraw, lists)
            try await transaction.execute(Self.offer, offered)
            try await transaction.file(event)
        }
    }

    private static let isPublished = Problem(.conflict, "The shares of a published beat are fixed; take it back first.")

    private static let accept = PostgresStatement<Void>(
        "UPDATE beat_splits SET accepted_at = now() WHERE beat_id = $1 AND user_id = $2 AND share = $3 AND accepted_at IS NULL")
    private static let isAccepted = PostgresStatement<Bool>(
        "SELECT share = $3 AND accepted_at IS NOT NULL FROM beat_splits WHERE beat_id = $1 AND user_id = $2"
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Accepts the account's offer of `share`, and files `event` where it was open. False where there is none. Throws `conflict` where
    /// another is offered by now: nobody accepts what they have not seen; `storeUnavailable` or `overloaded`.
    func accept(
        _ share: BeatSplit.Share, of beat: EntityID, _ mark: IdempotencyMark = .none, for account: Account, filing event: AuditEvent
    ) async throws(Problem) -> Bool {
        let offer: [PostgresValue] = [.uuid(beat.rawValue), .uuid(account.id.rawValue), .numeric(share.decimal)]
        return try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            let changed = try await transaction.execute(Self.accept, offer)
            // Read afterwards: where the change waited for a `replace`, it did not see what that offered in this one's place.
            guard let isAccepted = try await transaction.query(Self.isAccepted, offer).first else { return false }
            guard isAccepted else { throw Problem(.conflict, "Another share is offered by now; look at it first.") }
            if changed > 0 {
                try await transaction.file(event)
                try await transaction.set(mark)
            }
            return true
        }
    }
}
