import Contract
import DataPlane
import JSON
import PostgresClient

/// A beat as an edit finds it in Postgres, in one snapshot.
struct StoredBeat: Sendable {
    let id: EntityID
    let version: Int64
    let creator: EntityID
    let status: BeatStatus
    /// Whether the principal that asked may edit it.
    let isEditable: Bool
    let title: String
    let description: String?
    let currency: Currency
    let prices: [LicenseType: Money]
    /// Content that MongoDB has not acknowledged yet.
    let staged: String?

    /// What an edit starts from, with the content that goes with this version.
    func draft(_ content: BeatContentDocument) -> BeatDraft {
        BeatDraft(title: title, description: description, currency: currency, prices: prices, content: content)
    }
}

/// Writes beats: the row, the content on its way to MongoDB, and the outbox row that sets both going, in one transaction. All as the
/// account that acts, so that row security has the last word.
struct BeatDraftStore: Sendable {
    let postgres: PostgresAccess
    /// What one transaction may take.
    let timeout: Duration

    // MARK: Reading

    private static let select = PostgresStatement<StoredBeat>(
        """
        SELECT beats.id, beats.version, beats.creator_id, beats.status,
               beats.creator_id = (SELECT kababeat_user()) OR EXISTS (
                   SELECT FROM beat_permissions AS permission
                   WHERE permission.beat_id = beats.id AND permission.user_id = (SELECT kababeat_user())
                       AND permission.accepted_at IS NOT NULL AND permission.permission_type IN ('owner', 'collaborator')),
               beats.title, beats.description, beats.currency, beats.price_basic, beats.price_premium, beats.price_exclusive,
               staged.content
        FROM beats LEFT JOIN beat_content_staged AS staged ON staged.beat_id = beats.id
        WHERE beats.id = $1 AND beats.deleted_at IS NULL
        """
    ) { row throws(PostgresError) in
        let currency = Currency(code: try row.text(7)) ?? .usd
        var prices: [LicenseType: Money] = [:]
        for (index, license) in LicenseType.allCases.enumerated() {
            guard let units = try row.numericMinorUnitsOrNil(8 + index, scale: currency.digits) else { continue }
            prices[license] = Money(minorUnits: units, currency: currency)
        }
        return StoredBeat(
            id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), creator: EntityID(rawValue: try row.uuid(2)),
            status: BeatStatus(rawValue: try row.text(3)) ?? .draft, isEditable: try row.bool(4), title: try row.text(5),
            description: try row.textOrNil(6), currency: currency, prices: prices, staged: try row.jsonOrNil(11))
    }

    /// The beat if `account` may see it. Throws `storeUnavailable`.
    func beat(_ id: EntityID, as account: Account) async throws(Problem) -> StoredBeat? {
        try await postgres.rows(Self.select, [.uuid(id.rawValue)], as: PostgresSettings(.account(account)), within: timeout).first
    }

    // MARK: Writing

    private static let insert = PostgresStatement<Void>(
        """
        INSERT INTO beats (id, creator_id, title, description, currency, price_basic, price_premium, price_exclusive)
        VALUES ($1, $2, $3, $4, $5, $6::numeric, $7::numeric, $8::numeric)
        """)

    private static let update = PostgresStatement<Int64>(
        """
        UPDATE beats SET title = $3, description = $4, currency = $5, price_basic = $6::numeric, price_premium = $7::numeric,
               price_exclusive = $8::numeric, version = version + 1, updated_at = now()
        WHERE id = $1 AND version = $2 AND deleted_at IS NULL RETURNING version
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    private static let stage = PostgresStatement<Void>(
        """
        INSERT INTO beat_content_staged AS staged (beat_id, version, content, changes) VALUES ($1, $2, $3::jsonb, $4::jsonb)
        ON CONFLICT (beat_id) DO UPDATE SET version = excluded.version, content = excluded.content,
            changes = staged.changes || excluded.changes, staged_at = now()
        """)

    private static let announce = PostgresStatement<Void>(
        "INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', $1, $2, $3)")

    /// Makes a draft of version 1. Throws `storeUnavailable`; `forbidden` where the account may not have beats.
    func create(_ id: EntityID, _ draft: BeatDraft, _ entry: VersionEntry, as account: Account) async throws(Problem) {
        let content = try draft.content.stagedJSON()
        try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            // Sent together: the server carries them out in order, and the answers come in one trip.
            async let made = transaction.execute(
                Self.insert, [.uuid(id.rawValue), .uuid(account.id.rawValue)] + Self.core(draft))
            async let staged = transaction.execute(
                Self.stage, [.uuid(id.rawValue), .int64(1), .json(content), .json(entry.json(version: 1))])
            async let announced = transaction.execute(Self.announce, [.uuid(id.rawValue), .int64(1), .text("upsert")])
            _ = try await (made, staged, announced)
        }
    }

    /// Replaces what `version` held. Returns the new version, or nil where the beat is no longer at `version`: nothing is changed then.
    /// With no `entry`, the content stays as it is. Throws `forbidden` where row security refuses it.
    func update(
        _ id: EntityID, from version: Int64, _ draft: BeatDraft, _ entry: VersionEntry?, as account: Account
    ) async throws(Problem) -> Int64? {
        let content = entry == nil ? nil : try draft.content.stagedJSON()
        return try await change(as: account) { transaction in
            try await transaction.query(Self.update, [.uuid(id.rawValue), .int64(version)] + Self.core(draft)).first
        } then: { transaction, next in
            async let announced = transaction.execute(Self.announce, [.uuid(id.rawValue), .int64(next), .text("upsert")])
            if let entry, let content {
                try await transaction.execute(
                    Self.stage, [.uuid(id.rawValue), .int64(next), .json(content), .json(entry.json(version: next))])
            }
            _ = try await announced
        }
    }

    private func change(
        as account: Account, _ write: @Sendable (PostgresTransaction) async throws -> Int64?,
        then follow: @Sendable (PostgresTransaction, Int64) async throws -> Void
    ) async throws(Problem) -> Int64? {
        try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            guard let version = try await write(transaction) else { return nil }
            try await follow(transaction, version)
            return version
        }
    }

    // MARK: Standing

    private static let publish = PostgresStatement<Int64>(
        """
        UPDATE beats SET status = 'published', published_at = coalesce(published_at, now()), version = version + 1, updated_at = now()
        WHERE id = $1 AND version = $2 AND deleted_at IS NULL RETURNING version
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    private static let retire = PostgresStatement<Int64>(
        """
        UPDATE beats SET status = $3, version = version + 1, updated_at = now()
        WHERE id = $1 AND version = $2 AND deleted_at IS NULL RETURNING version
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    private static let delete = PostgresStatement<Int64>(
        """
        UPDATE beats SET status = 'archived', deleted_at = now(), version = version + 1, updated_at = now()
        WHERE id = $1 AND version = $2 AND deleted_at IS NULL RETURNING version
        """
    ) { row throws(PostgresError) in try row.int64(0) }

    private static let openSplits = PostgresStatement<Bool>(
        """
        SELECT count(*) > 0 AND (NOT bool_and(accepted_at IS NOT NULL) OR sum(share) <> 100.00)
        FROM beat_splits WHERE beat_id = $1
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// What a change of standing comes to.
    enum Standing: Sendable {
        case now(BeatStatus)
        case deleted
    }

    /// Returns the new version, or nil where the beat is no longer at `version`. Throws `conflict` where shares of a beat that is to be
    /// published do not add up, and `forbidden` for anybody but its creator.
    func move(_ id: EntityID, from version: Int64, to standing: Standing, as account: Account) async throws(Problem) -> Int64? {
        let key: [PostgresValue] = [.uuid(id.rawValue), .int64(version)]
        return try await change(as: account) { transaction in
            switch standing {
            case .deleted: return try await transaction.query(Self.delete, key).first
            case .now(.published):
                // The row is locked first: an offer that is made or accepted meanwhile waits for the outcome.
                let next = try await transaction.query(Self.publish, key).first
                if next != nil, try await transaction.query(Self.openSplits, [.uuid(id.rawValue)]).first == true {
                    throw Self.openShares
                }
                return next
            case .now(let status): return try await transaction.query(Self.retire, key + [.text(status.rawValue)]).first
            }
        } then: { transaction, next in
            let operation = if case .deleted = standing { "delete" } else { "upsert" }
            try await transaction.execute(Self.announce, [.uuid(id.rawValue), .int64(next), .text(operation)])
        }
    }

    private static let openShares = Problem(
        .conflict, "Before a beat with shares is published, all of them are accepted and add up to exactly 100.00.",
        fields: [.init("splits", "are not all accepted, or do not add up to 100.00")])

    // MARK: Values

    private static func core(_ draft: BeatDraft) -> [PostgresValue] {
        [.text(draft.title), draft.description.map { .text($0) } ?? .null, .text(draft.currency.code)]
            + LicenseType.allCases.map { draft.prices[$0].map { .numeric($0.description) } ?? .null }
    }
}

/// What the version history says of one change.
struct VersionEntry: Sendable {
    let text: String
    let by: EntityID
    let at: Timestamp

    /// A list of one, as `beat_content_staged.changes` gathers them.
    func json(version: Int64) -> String {
        var json = JSONWriter(capacity: 128 + text.utf8.count)
        json.array { json in
            json.object { json in
                json.key("v")
                json.integer(version)
                json.key("text")
                json.string(text)
                json.key("by")
                json.id(by)
                json.key("at")
                json.integer(at.milliseconds)
            }
        }
        return String(decoding: json.bytes, as: UTF8.self)
    }
}
