import Contract
import DataPlane
import Foundation
import JSON
import PostgresClient

/// Writes a batch of lines to Postgres: creators, cores, staged contents and outbox rows. The beats of a batch are one statement, so
/// a kill leaves all of them or none; a line that was imported before, byte for byte, changes nothing.
struct CatalogueStore: Sendable {
    let postgres: PostgresClient
    private let timeout = Duration.seconds(30)

    init(postgres: PostgresClient) { self.postgres = postgres }

    // MARK: Creators

    private static let insertCreators = PostgresStatement<Void>(
        """
        WITH made AS (
            INSERT INTO users (id, username, display_name, is_creator, source, external_id)
            SELECT id, username, display_name, true, source, external_id
            FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) AS new (id, username, display_name, source, external_id)
            ON CONFLICT DO NOTHING RETURNING id
        )
        INSERT INTO user_roles (user_id, role) SELECT id, role FROM made, unnest(ARRAY['user', 'creator']) AS role
        """)

    private static let selectCreators = PostgresStatement<(source: String, name: String, id: UInt128)>(
        """
        SELECT users.source, users.external_id, users.id
        FROM unnest($1::text[], $2::text[]) AS wanted (source, external_id)
             JOIN users ON users.source = wanted.source AND users.external_id = wanted.external_id
        """
    ) { row throws(PostgresError) in (try row.text(0), try row.text(1), try row.uuid(2)) }

    /// The ids of all `creators`, making the accounts of those that are new. Safe against another import that makes the same. A creator
    /// whom neither name was free for is left out.
    func ensure(_ creators: [CatalogueLine.Creator]) async throws(PostgresError) -> [ExternalID: EntityID] {
        var known = try await ids(creators)
        // A username that is taken gets a suffix of its own; the second cannot be taken by anybody else.
        for attempt in 0..<2 {
            // In one order everywhere, so that two imports never wait for each other.
            let missing = creators.filter { known[$0.externalID] == nil }
                .map { (creator: $0, username: Username.derive($0.displayName, $0.externalID, isPlain: attempt == 0)) }
                .sorted { ($0.username, $0.creator.externalID) < ($1.username, $1.creator.externalID) }
            if missing.isEmpty { break }
            let now = Timestamp.now.milliseconds
            _ = try await postgres.query(
                Self.insertCreators,
                [
                    .uuids(missing.map { _ in EntityID.make(milliseconds: now).rawValue }),
                    .texts(missing.map(\.username)), .texts(missing.map(\.creator.displayName)),
                    .texts(missing.map(\.creator.externalID.source)), .texts(missing.map(\.creator.externalID.name)),
                ], settings: .system, deadline: .now + timeout)
            known.merge(try await ids(missing.map(\.creator))) { _, new in new }
        }
        return known
    }

    private func ids(_ creators: [CatalogueLine.Creator]) async throws(PostgresError) -> [ExternalID: EntityID] {
        let rows = try await postgres.query(
            Self.selectCreators, [.texts(creators.map(\.externalID.source)), .texts(creators.map(\.externalID.name))], settings: .system,
            deadline: .now + timeout)
        let pairs = rows.compactMap { row in ExternalID("\(row.source):\(row.name)").map { ($0, EntityID(rawValue: row.id)) } }
        return Dictionary(pairs) { first, _ in first }
    }

    // MARK: Beats

    private static let upsertBeats = PostgresStatement<Void>(
        """
        WITH incoming AS (
            SELECT * FROM unnest(
                $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::numeric[], $9::numeric[],
                $10::text[], $11::text[], $12::bytea[], $13::timestamptz[], $14::jsonb[])
            AS line (id, creator_id, title, description, status, currency, basic, premium, exclusive, source, external_id, digest,
                     created_at, content)
        ), changed AS (
            INSERT INTO beats AS known (
                id, creator_id, title, description, status, currency, price_basic, price_premium, price_exclusive, source, external_id,
                content_digest, created_at, published_at)
            SELECT id, creator_id, title, description, status, currency, basic, premium, exclusive, source, external_id, digest,
                   coalesce(created_at, now()), CASE WHEN status = 'published' THEN coalesce(created_at, now()) END
            FROM incoming
            ON CONFLICT (source, external_id) DO UPDATE SET
                creator_id = excluded.creator_id, title = excluded.title, description = excluded.description, status = excluded.status,
                currency = excluded.currency, price_basic = excluded.price_basic, price_premium = excluded.price_premium,
                price_exclusive = excluded.price_exclusive, content_digest = excluded.content_digest,
                -- A line without a date came with this transaction's.
                created_at = CASE WHEN excluded.created_at = now() THEN known.created_at ELSE excluded.created_at END,
                published_at = coalesce(known.published_at, excluded.published_at), version = known.version + 1,
                content_version = known.version + 1, updated_at = now()
            WHERE known.content_digest IS DISTINCT FROM excluded.content_digest AND known.deleted_at IS NULL
            RETURNING known.id, known.version, known.source, known.external_id
        ), staged AS (
            INSERT INTO beat_content_staged (beat_id, version, content)
            SELECT changed.id, changed.version, incoming.content FROM changed JOIN incoming USING (source, external_id)
            ON CONFLICT (beat_id) DO UPDATE SET version = excluded.version, content = excluded.content, staged_at = now()
        )
        INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, version, 'upsert' FROM changed
        """)

    /// Lines of one batch name different beats. Throws `PostgresError`, or a `Problem` where a content cannot be written as JSON.
    func upsert(_ lines: [CatalogueLine], creators: [ExternalID: EntityID]) async throws {
        let now = Timestamp.now.milliseconds
        // In one order everywhere, so that two imports never wait for each other.
        let lines = try lines.sorted { $0.externalID < $1.externalID }.compactMap { line in
            try creators[line.creator.externalID].map { Row(line: line, creator: $0, content: try line.content.stagedJSON()) }
        }
        _ = try await postgres.query(
            Self.upsertBeats,
            [
                .uuids(lines.map { _ in EntityID.make(milliseconds: now).rawValue }), .uuids(lines.map(\.creator.rawValue)),
                .texts(lines.map(\.line.title)), .texts(lines.map(\.line.description)),
                .texts(lines.map(\.line.status.rawValue)), .texts(lines.map(\.line.currency.code)),
                .numerics(lines.map { $0.line.basic?.description }), .numerics(lines.map { $0.line.premium?.description }),
                .numerics(lines.map { $0.line.exclusive?.description }), .texts(lines.map(\.line.externalID.source)),
                .texts(lines.map(\.line.externalID.name)), .texts(lines.map(\.digest)), .texts(lines.map(\.line.createdAt)),
                .jsons(lines.map(\.content)),
            ], settings: .system, deadline: .now + timeout)
    }

    private struct Row {
        let line: CatalogueLine
        let creator: EntityID
        let content: String

        /// Of all that a line says, as `bytea` text: two of 64 bits.
        var digest: String {
            let facts = [
                line.title, line.description ?? "\0", line.status.rawValue, line.currency.code,
                line.basic?.description ?? "\0", line.premium?.description ?? "\0", line.exclusive?.description ?? "\0",
                line.createdAt ?? "\0", creator.description, content,
            ]
            var (first, second) = (Digest(), Digest())
            second.update("second")
            for fact in facts {
                first.update(fact)
                second.update(fact)
            }
            func hex(_ value: UInt64) -> String {
                let digits = String(value, radix: 16)
                return String(repeating: "0", count: 16 - digits.count) + digits
            }
            return "\\x" + hex(first.value) + hex(second.value)
        }
    }
}

/// Usernames for creators that a catalogue knows only by a name for people.
extension Username {
    /// Letters, digits and hyphens of the display name; with a suffix made from the external id where the plain one may be taken.
    static func derive(_ displayName: String, _ id: ExternalID, isPlain: Bool) -> String {
        let folded = displayName.folding(options: [.diacriticInsensitive, .caseInsensitive], locale: nil)
        var slug = ""
        for scalar in folded.unicodeScalars {
            if scalar.isASCII, scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) {
                slug.unicodeScalars.append(scalar)
            } else if !slug.isEmpty, slug.last != "-" {
                slug.append("-")
            }
        }
        slug = String(slug.prefix(34))
        while slug.last == "-" { slug.removeLast() }
        if isPlain, slug.count >= 3, !reserved.contains(slug) { return slug }
        let suffix = String(Digest("\(id.source):\(id.name)").value, radix: 36)
        return slug.isEmpty ? "creator-\(suffix)" : "\(slug)-\(suffix)"
    }
}
