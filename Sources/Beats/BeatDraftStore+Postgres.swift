import Contract
import CrashPoints
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
        VALUES ($1, $2, $3, $4, $5, $6::numeric, $7::numeric, $8::numeric) ON CONFLICT (id) DO NOTHING
        """)

    /// What becomes of the row: one statement each, which names the version that it replaces.
    private enum Step {
        case update, publish, retire, delete

        var assignments: String {
            switch self {
            case .update:
                """
                title = $3, description = $4, currency = $5, price_basic = $6::numeric, price_premium = $7::numeric,
                price_exclusive = $8::numeric
                """
            case .publish: "status = 'published', published_at = coalesce(published_at, now())"
            case .retire: "status = $3"
            case .delete: "status = 'archived', deleted_at = now()"
            }
        }
    }

    private static func statement(_ step: Step) -> PostgresStatement<Int64> {
        PostgresStatement(
            """
            UPDATE beats SET \(step.assignments), version = version + 1, updated_at = now()
            WHERE id = $1 AND version = $2 AND deleted_at IS NULL RETURNING version
            """
        ) { row throws(PostgresError) in try row.int64(0) }
    }

    private static let (update, publish, retire, delete) = (
        statement(.update), statement(.publish), statement(.retire), statement(.delete)
    )

    private static let announce = PostgresStatement<Void>(
        "INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', $1, $2, $3)")

    private static let stageAndAnnounce = PostgresStatement<Void>(
        """
        WITH staged AS (
            INSERT INTO beat_content_staged AS staged (beat_id, version, content, changes) VALUES ($1, $2, $4::jsonb, $5::jsonb)
            ON CONFLICT (beat_id) DO UPDATE SET version = excluded.version, content = excluded.content,
                changes = staged.changes || excluded.changes, staged_at = now())
        INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', $1, $2, $3)
        """)

    private static let openSplits = PostgresStatement<Bool>(
        """
        SELECT count(*) > 0 AND (NOT bool_and(accepted_at IS NOT NULL) OR sum(share) <> 100.00)
        FROM beat_splits WHERE beat_id = $1
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    private static let openShares = Problem(
        .conflict, "Before a beat with shares is published, all of them are accepted and add up to exactly 100.00.",
        fields: [.init("splits", "are not all accepted, or do not add up to 100.00")])

    /// Makes a draft of version 1; a beat of this id that is there, or was, stays as it is. Throws `storeUnavailable`; `forbidden` where the account may not have beats.
    func create(_ id: EntityID, _ draft: BeatDraft, _ entry: VersionEntry, as account: Account) async throws(Problem) {
        let row: [PostgresValue] = [.uuid(id.rawValue), .uuid(account.id.rawValue)] + Self.core(draft)
        let rest = try Self.following(id, 1, "upsert", draft.content, entry)
        // Two statements: row security looks for the beat when its content is staged, and a statement does not see what it inserts itself.
        // No structure is kept across an await here and below, since Swift 6.3.1 miscompiles such closures.
        try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            guard try await transaction.execute(Self.insert, row) > 0 else { return }
            try await transaction.execute(Self.stageAndAnnounce, rest)
            crash(at: .creationBeforeCommit)
        }
        crash(at: .creationAfterCommit)
    }

    /// Replaces what `version` held. Returns the new version, or nil where the beat is no longer at `version`: nothing is changed then.
    /// With no `entry`, the content stays as it is. Throws `forbidden` where row security refuses it.
    func update(
        _ id: EntityID, from version: Int64, _ draft: BeatDraft, _ entry: VersionEntry?, as account: Account
    ) async throws(Problem) -> Int64? {
        let row: [PostgresValue] = [.uuid(id.rawValue), .int64(version)] + Self.core(draft)
        let isStaged = entry != nil
        let rest = try Self.following(id, version + 1, "upsert", isStaged ? draft.content : nil, entry)
        let next: Int64? = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            guard let next = try await transaction.query(Self.update, row).first else { return nil }
            try await transaction.execute(isStaged ? Self.stageAndAnnounce : Self.announce, rest)
            crash(at: .updateBeforeCommit)
            return next
        }
        crash(at: .updateAfterCommit)
        return next
    }

    // MARK: Standing

    /// Publishes a beat. Returns the new version, or nil where the beat is no longer at `version`. Throws `conflict` where its shares do
    /// not add up, and `forbidden` for anybody but its creator.
    func publish(_ id: EntityID, from version: Int64, as account: Account) async throws(Problem) -> Int64? {
        let row: [PostgresValue] = [.uuid(id.rawValue), .int64(version)]
        let key: [PostgresValue] = [.uuid(id.rawValue)]
        let rest = try Self.following(id, version + 1, "upsert", nil, nil)
        let next: Int64? = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            // The row is locked first: an offer that is made or accepted meanwhile waits for the outcome.
            guard let next = try await transaction.query(Self.publish, row).first else { return nil }
            if try await transaction.query(Self.openSplits, key).first == true { throw Self.openShares }
            try await transaction.execute(Self.announce, rest)
            crash(at: .publicationBeforeCommit)
            return next
        }
        crash(at: .publicationAfterCommit)
        return next
    }

    /// Takes a beat back or archives it; nil deletes it. Returns and throws as `publish` does.
    func retire(_ id: EntityID, from version: Int64, to status: BeatStatus?, as account: Account) async throws(Problem) -> Int64? {
        let row: [PostgresValue] = [.uuid(id.rawValue), .int64(version)] + (status.map { [.text($0.rawValue)] } ?? [])
        let isDeleted = status == nil
        let rest = try Self.following(id, version + 1, isDeleted ? "delete" : "upsert", nil, nil)
        let next: Int64? = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            guard let next = try await transaction.query(isDeleted ? Self.delete : Self.retire, row).first else { return nil }
            try await transaction.execute(Self.announce, rest)
            crash(at: .retirementBeforeCommit)
            return next
        }
        crash(at: .retirementAfterCommit)
        return next
    }

    /// The parameters of what follows the row's own statement.
    private static func following(
        _ id: EntityID, _ version: Int64, _ operation: String, _ content: BeatContentDocument?, _ entry: VersionEntry?
    ) throws(Problem) -> [PostgresValue] {
        let announced: [PostgresValue] = [.uuid(id.rawValue), .int64(version), .text(operation)]
        guard let content, let entry else { return announced }
        return announced + [.json(try content.stagedJSON()), .json(entry.json(version: version))]
    }

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
