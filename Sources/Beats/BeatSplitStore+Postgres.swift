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
        FROM beat_splits AS split
             LEFT JOIN users ON users.id = split.user_id
             LEFT JOIN beats ON beats.id = split.beat_id
        WHERE split.beat_id = $1 AND beats.deleted_at IS NULL ORDER BY split.share DESC, split.user_id
        """
    ) { row throws(PostgresError) in
        BeatSplit(
            user: EntityID(rawValue: try row.uuid(0)), username: try row.textOrNil(1),
            share: .init(hundredths: try row.numericMinorUnits(2, scale: 2)),
            acceptedAt: try row.timestampMicrosecondsOrNil(3).map { Timestamp(microseconds: $0) })
    }

    private static let isThere = PostgresStatement<Bool>("SELECT EXISTS (SELECT FROM beats WHERE id = $1 AND deleted_at IS NULL)") {
        row throws(PostgresError) in try row.bool(0)
    }

    /// All shares of the account's own beat, whoever holds them; of another's its own. Throws `notFound` where it holds none and may not
    /// see the beat; `storeUnavailable` or `overloaded`.
    func splits(of beat: EntityID, for account: Account) async throws(Problem) -> [BeatSplit] {
        let (id, settings) = ([PostgresValue.uuid(beat.rawValue)], PostgresSettings(.account(account)))
        let splits = try await postgres.rows(Self.select, id, as: settings, within: timeout)
        if splits.isEmpty, try await postgres.rows(Self.isThere, id, as: settings, within: timeout).first != true {
            throw .notFound("beat")
        }
        return splits
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

    // What was offered before may stay as it is, whatever became of its holder.
    private static let strangers = PostgresStatement<Bool>(
        """
        SELECT EXISTS (
            SELECT FROM unnest($2::uuid[]) AS new (user_id)
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = new.user_id)
                AND NOT EXISTS (SELECT FROM beat_splits WHERE beat_id = $1 AND beat_splits.user_id = new.user_id))
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Replaces the offers of a beat of the account's own; what stays the same stays accepted. Throws `notFound` where it is not the
    /// account's, `forbidden` where that is no creator any more, `conflict` while the beat is published, `invalid` for an account that is
    /// not there to be seen; `storeUnavailable` or `overloaded`.
    func replace(_ offers: [BeatSplit.Offer], of beat: EntityID, by account: Account, filing event: AuditEvent) async throws(Problem) {
        let unknown = Problem.invalid([.init("splits", "names an account that is not there")])
        let lists: [PostgresValue] = [
            .uuid(beat.rawValue), .uuids(offers.map(\.user.rawValue)), .numerics(offers.map(\.share.decimal)),
        ]
        let key: [PostgresValue] = [.uuid(beat.rawValue), .uuid(account.id.rawValue)]
        let offered = lists + [.uuid(account.id.rawValue)]
        let invited = Array(lists.prefix(2))
        try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            let status = try await transaction.query(Self.lock, key).first
            guard let status else { throw Problem.notFound("beat") }
            guard status != BeatStatus.published.rawValue else { throw Self.isPublished }
            try await transaction.execute(Self.withdraw, lists)
            if try await transaction.query(Self.strangers, invited).first == true { throw unknown }
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

    private static let remove = PostgresStatement<Void>(
        "DELETE FROM beat_splits WHERE beat_id = $1 AND user_id = $2 AND accepted_at IS NULL")
    private static let isAgreed = PostgresStatement<Bool>(
        "SELECT accepted_at IS NOT NULL FROM beat_splits WHERE beat_id = $1 AND user_id = $2"
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Takes back the offer that is open for `holder`, or declines it: as the beat's creator anybody's, else the account's own; and files
    /// `event`. False where there is none of that kind. Throws `conflict` where it was accepted: then the creator replaces all shares, or
    /// none; `storeUnavailable` or `overloaded`.
    func remove(_ holder: EntityID, from beat: EntityID, by account: Account, filing event: AuditEvent) async throws(Problem) -> Bool {
        let offer: [PostgresValue] = [.uuid(beat.rawValue), .uuid(holder.rawValue)]
        return try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            if try await transaction.execute(Self.remove, offer) > 0 {
                try await transaction.file(event)
                return true
            }
            guard try await transaction.query(Self.isAgreed, offer).first == true else { return false }
            throw Problem(.conflict, "This share is accepted; the creator of the beat can offer all shares anew while it is not published.")
        }
    }
}
