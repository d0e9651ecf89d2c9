import Contract
import CrashPoints
import DataPlane
import JSON
import PostgresClient

/// A beat as an edit finds it in Postgres, in one snapshot: enough to say afterwards what it has become.
struct StoredBeat: Sendable {
    let core: BeatCore
    let viewer: BeatViewer
    /// Content that MongoDB has not acknowledged yet.
    let staged: String?
    /// The version that last brought content.
    let contentVersion: Int64

    /// Whether the account may know how the beat came about: who edits it, and who made it even without the role to edit it any more.
    func isOpen(to account: Account) -> Bool { viewer.canEdit || core.creator.id == account.id }

    /// What an edit starts from, with the content that goes with this version.
    func draft(_ content: BeatContentDocument) -> BeatDraft {
        let prices = core.prices
        let known: [LicenseType: Money?] = [.basic: prices.basic, .premium: prices.premium, .exclusive: prices.exclusive]
        return BeatDraft(
            title: core.title, description: core.description, currency: core.currency, prices: known.compactMapValues { $0 },
            content: content)
    }
}

/// What a beat has become by a write.
struct WrittenBeat: Sendable, Equatable {
    let core: BeatCore
    let viewer: BeatViewer
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
        SELECT \(BeatCoreStore.columns), \(BeatViewerStore.columns(account: "(SELECT kababeat_user())")), staged.content, beats.content_version
        FROM beats JOIN users ON users.id = beats.creator_id LEFT JOIN beat_content_staged AS staged ON staged.beat_id = beats.id
        WHERE beats.id = $1 AND beats.deleted_at IS NULL
        """
    ) { row throws(PostgresError) in
        StoredBeat(
            core: try BeatCoreStore.core(row), viewer: try BeatViewerStore.viewer(row, from: BeatCoreStore.columnCount),
            staged: try row.jsonOrNil(BeatCoreStore.columnCount + BeatViewerStore.columnCount),
            contentVersion: try row.int64(BeatCoreStore.columnCount + BeatViewerStore.columnCount + 1))
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

    /// What a write made of the row.
    private struct Step: Sendable {
        let version: Int64
        let updatedAt: Timestamp

        static func decode(_ row: borrowing PostgresRow) throws(PostgresError) -> Step {
            Step(version: try row.int64(0), updatedAt: Timestamp(microseconds: try row.timestampMicroseconds(1)))
        }
    }

    /// Names the version that it replaces, which is `$2`.
    private static func change(_ assignments: String) -> String {
        """
        UPDATE beats SET \(assignments), version = version + 1, updated_at = now()
        WHERE id = $1 AND version = $2 AND deleted_at IS NULL RETURNING version, updated_at
        """
    }

    private static let replacement = """
        title = $3, description = $4, currency = $5, price_basic = $6::numeric, price_premium = $7::numeric, price_exclusive = $8::numeric
        """
    private static let stage = """
        INSERT INTO beat_content_staged AS staged (beat_id, version, content, changes)
        """
    private static let overwrite = """
        ON CONFLICT (beat_id) DO UPDATE SET version = excluded.version, content = excluded.content,
            changes = staged.changes || excluded.changes, staged_at = now()
        """
    private static let outbox = "INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)"

    // One statement is one round trip, and nothing comes of it where the version is gone.
    private static let update = PostgresStatement(
        """
        WITH changed AS (\(change(replacement))),
             announced AS (\(outbox) SELECT 'beat', $1, version, 'upsert' FROM changed)
        SELECT version, updated_at FROM changed
        """, decode: Step.decode)
    private static let updateWithContent = PostgresStatement(
        """
        WITH changed AS (\(change("\(replacement), content_version = version + 1"))),
             staged AS (\(stage) SELECT $1, version, $9::jsonb, $10::jsonb FROM changed \(overwrite)),
             announced AS (\(outbox) SELECT 'beat', $1, version, 'upsert' FROM changed)
        SELECT version, updated_at FROM changed
        """, decode: Step.decode)

    private static let publish = PostgresStatement(
        change("status = 'published', published_at = coalesce(published_at, now())"), decode: Step.decode)
    private static let retire = PostgresStatement(change("status = $3"), decode: Step.decode)
    private static let delete = PostgresStatement(change("status = 'archived', deleted_at = now()"), decode: Step.decode)

    private static let announce = PostgresStatement<Void>("\(outbox) VALUES ('beat', $1, $2, $3)")

    private struct Origin: Sendable {
        let username: String
        let displayName: String?
        let avatarURL: String?
        let isVerified: Bool
        let time: Timestamp
    }

    /// Answers what everybody may see of the creator of a new beat, and when it was made.
    private static let stageNew = PostgresStatement<Origin>(
        """
        WITH staged AS (\(stage) VALUES ($1, 1, $2::jsonb, $3::jsonb)),
             announced AS (\(outbox) VALUES ('beat', $1, 1, 'upsert'))
        SELECT username, display_name, avatar_url, is_verified, now() FROM users WHERE id = (SELECT kababeat_user())
        """
    ) { row throws(PostgresError) in
        Origin(
            username: try row.text(0), displayName: try row.textOrNil(1), avatarURL: try row.textOrNil(2), isVerified: try row.bool(3),
            time: Timestamp(microseconds: try row.timestampMicroseconds(4)))
    }

    /// What is in the way of publishing: shares that are open or do not make the whole, and deleted accounts that hold one.
    private static let obstacles = PostgresStatement<(isOpen: Bool, deleted: [String])>(
        """
        SELECT count(*) > 0 AND (NOT bool_and(accepted_at IS NOT NULL) OR sum(share) <> 100.00),
               CASE WHEN count(*) > 0 THEN kababeat_deleted_holders($1)::text[] ELSE '{}' END
        FROM beat_splits WHERE beat_id = $1
        """
    ) { row throws(PostgresError) in (try row.bool(0), try row.texts(1)) }

    private static let openShares = Problem(
        .conflict, "Before a beat with shares is published, all of them are accepted and add up to exactly 100.00.",
        fields: [.init("splits", "are not all accepted, or do not add up to 100.00")])

    /// Nobody could be paid. A suspended holder is in nobody's way: a suspension may be lifted, and what is earned meanwhile waits.
    private static func goneHolders(_ ids: [String]) -> Problem {
        Problem(
            .conflict, "A share of this beat is held by an account that is deleted; offer it to somebody else before publishing.",
            fields: ids.map { .init("splits", "include a share of the deleted account \($0)") })
    }

    /// Makes a draft of version 1. A beat of this id that is there, or was, stays as it is, and the answer is nil. Throws
    /// `storeUnavailable`; `forbidden` where the account may not have beats.
    func create(
        _ id: EntityID, _ draft: BeatDraft, _ entry: VersionEntry, _ mark: IdempotencyMark, as account: Account
    ) async throws(Problem) -> WrittenBeat? {
        let row: [PostgresValue] = [.uuid(id.rawValue), .uuid(account.id.rawValue)] + Self.core(draft)
        let rest: [PostgresValue] = [.uuid(id.rawValue), .json(try draft.content.stagedJSON()), .json(entry.json(version: 1))]
        // Two statements: row security looks for the beat when its content is staged, and a statement does not see what it inserts itself.
        // No structure is kept across an await here and below, since Swift 6.3.1 miscompiles such closures.
        let origin: Origin? = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            guard try await transaction.execute(Self.insert, row) > 0 else { return nil }
            let origin = try await transaction.query(Self.stageNew, rest).first
            try await transaction.set(mark)
            crash(at: .creationBeforeCommit)
            return origin
        }
        crash(at: .creationAfterCommit)
        guard let origin else { return nil }
        let creator = BeatCore.Creator(
            id: account.id, username: origin.username, displayName: origin.displayName, avatarURL: origin.avatarURL,
            isVerified: origin.isVerified)
        return WrittenBeat(
            core: BeatCore(
                id: id, version: 1, title: draft.title, description: draft.description, isFeatured: false, currency: draft.currency,
                prices: LicensePrices(draft.prices), creator: creator, createdAt: origin.time, updatedAt: origin.time, status: .draft),
            viewer: BeatViewer(isPublished: false, isFavorite: false, licenses: [], canEdit: true))
    }

    /// Replaces what `stored` holds. Returns what has become of it, or nil where the beat is no longer at that version: nothing is changed
    /// then. With no `entry`, the content stays as it is. Throws `forbidden` where row security refuses it, as it does to a creator who is
    /// none any more.
    func update(
        _ stored: StoredBeat, _ draft: BeatDraft, _ entry: VersionEntry?, as account: Account
    ) async throws(Problem) -> WrittenBeat? {
        var row: [PostgresValue] = [.uuid(stored.core.id.rawValue), .int64(stored.core.version)] + Self.core(draft)
        if let entry { row += [.json(try draft.content.stagedJSON()), .json(entry.json(version: stored.core.version + 1))] }
        crash(at: .updateBeforeCommit)
        let step = try await postgres.rows(
            entry == nil ? Self.update : Self.updateWithContent, row, as: PostgresSettings(.account(account)), within: timeout
        ).first
        crash(at: .updateAfterCommit)
        return step.map { Self.written(stored, $0, draft: draft) }
    }

    // MARK: Standing

    /// Publishes a beat. Returns what has become of it, or nil where it is no longer at the version of `stored`. Throws `conflict` where
    /// its shares do not add up or one is a deleted account's, and `forbidden` for anybody but its creator, and for one who lost that role.
    func publish(_ stored: StoredBeat, _ mark: IdempotencyMark, as account: Account) async throws(Problem) -> WrittenBeat? {
        let row: [PostgresValue] = [.uuid(stored.core.id.rawValue), .int64(stored.core.version)]
        let key: [PostgresValue] = [.uuid(stored.core.id.rawValue)]
        let rest = Self.announcement(stored, "upsert")
        let step: Step? = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            // The row is locked first: an offer that is made or accepted meanwhile waits for the outcome.
            guard let step = try await transaction.query(Self.publish, row).first else { return nil }
            guard let found = try await transaction.query(Self.obstacles, key).first else { throw Problem.unexpected }
            guard found.deleted.isEmpty else { throw Self.goneHolders(found.deleted) }
            if found.isOpen { throw Self.openShares }
            try await transaction.execute(Self.announce, rest)
            try await transaction.set(mark)
            crash(at: .publicationBeforeCommit)
            return step
        }
        crash(at: .publicationAfterCommit)
        return step.map { Self.written(stored, $0, status: .published) }
    }

    /// Takes a beat back or archives it; nil deletes it. Returns and throws as `publish` does.
    func retire(
        _ stored: StoredBeat, to status: BeatStatus?, _ mark: IdempotencyMark, as account: Account
    ) async throws(Problem) -> WrittenBeat? {
        let row: [PostgresValue] =
            [.uuid(stored.core.id.rawValue), .int64(stored.core.version)] + (status.map { [.text($0.rawValue)] } ?? [])
        let isDeleted = status == nil
        let rest = Self.announcement(stored, isDeleted ? "delete" : "upsert")
        let step: Step? = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            guard let step = try await transaction.query(isDeleted ? Self.delete : Self.retire, row).first else { return nil }
            try await transaction.execute(Self.announce, rest)
            try await transaction.set(mark)
            crash(at: .retirementBeforeCommit)
            return step
        }
        crash(at: .retirementAfterCommit)
        return step.map { Self.written(stored, $0, status: status ?? .archived) }
    }

    // MARK: Values

    private static func announcement(_ stored: StoredBeat, _ operation: String) -> [PostgresValue] {
        [.uuid(stored.core.id.rawValue), .int64(stored.core.version + 1), .text(operation)]
    }

    /// The beat as the row stands after `step`. Pure.
    private static func written(
        _ stored: StoredBeat, _ step: Step, draft: BeatDraft? = nil, status: BeatStatus? = nil
    ) -> WrittenBeat {
        let (old, status) = (stored.core, status ?? stored.core.status)
        let core = BeatCore(
            id: old.id, version: step.version, title: draft?.title ?? old.title,
            description: draft == nil ? old.description : draft?.description, isFeatured: old.isFeatured,
            currency: draft?.currency ?? old.currency, prices: draft.map { LicensePrices($0.prices) } ?? old.prices, creator: old.creator,
            createdAt: old.createdAt, updatedAt: step.updatedAt, status: status)
        let viewer = stored.viewer
        return WrittenBeat(
            core: core,
            viewer: BeatViewer(
                isPublished: status == .published, isFavorite: viewer.isFavorite, licenses: viewer.licenses, canEdit: viewer.canEdit))
    }

    private static func core(_ draft: BeatDraft) -> [PostgresValue] {
        [.text(draft.title), draft.description.map { .text($0) } ?? .null, .text(draft.currency.code)]
            + LicenseType.allCases.map { draft.prices[$0].map { .numeric($0.description) } ?? .null }
    }
}

extension LicensePrices {
    init(_ prices: [LicenseType: Money]) {
        self.init(basic: prices[.basic], premium: prices[.premium], exclusive: prices[.exclusive])
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
