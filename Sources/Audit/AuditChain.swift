import Contract
import CrashPoints
import DataPlane
import PostgresClient

/// One link of the chain, with the entry that it seals where that is still there.
struct AuditLink: Sendable {
    let number: Int64
    let entryID: EntityID
    let entryAt: Timestamp
    let entryHash: [UInt8]
    let chainHash: [UInt8]
    let entry: AuditEntry?
}

/// The chain as PostgreSQL keeps it.
struct AuditChain: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // MARK: Sealing

    private static let lock = PostgresStatement(
        "SELECT pg_try_advisory_xact_lock(hashtext('kababeat_audit_chain'))"
    ) { row throws(PostgresError) in try row.bool(0) }

    private static let head = PostgresStatement(
        "SELECT seq, chain_hash FROM audit_chain ORDER BY seq DESC LIMIT 1"
    ) { row throws(PostgresError) in (number: try row.int64(0), hash: try row.bytes(1)) }

    private static let unsealed = PostgresStatement(
        """
        SELECT \(AuditEntry.columns) FROM audit_unsealed AS next
        JOIN audit_log AS entry ON (entry.at, entry.id) = (next.entry_at, next.entry_id)
        ORDER BY next.entry_at, next.entry_id LIMIT $1
        """
    ) { row throws(PostgresError) in try AuditEntry(row) }

    private static let append = PostgresStatement<Void>(
        """
        WITH sealed AS (
            INSERT INTO audit_chain (seq, entry_id, entry_at, entry_hash, chain_hash)
            SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::bytea[], $5::bytea[])
            RETURNING entry_at, entry_id
        )
        DELETE FROM audit_unsealed USING sealed
        WHERE (audit_unsealed.entry_at, audit_unsealed.entry_id) = (sealed.entry_at, sealed.entry_id)
        """)

    /// Appends up to `most` entries that wait, in the order of their times. Answers how many; none where another gateway is at it.
    /// Throws `storeUnavailable`, `overloaded` or `internal`; then nothing is appended.
    func seal(most: Int) async throws(Problem) -> Int {
        try await postgres.transaction(as: .system, within: timeout) { transaction in
            // One at a time, and each statement sees what the one before has committed.
            guard try await transaction.query(Self.lock).first == true else { return 0 }
            let head = try await transaction.query(Self.head).first
            let entries = try await transaction.query(Self.unsealed, [.int64(Int64(most))])
            guard !entries.isEmpty else { return 0 }
            var (number, previous) = (head?.number ?? 0, head?.hash ?? AuditHash.origin)
            var (numbers, hashes, links): ([Int64], [[UInt8]], [[UInt8]]) = ([], [], [])
            for entry in entries {
                number += 1
                let hash = AuditHash.entry(entry)
                previous = AuditHash.link(after: previous, number: number, entry: hash)
                numbers.append(number)
                hashes.append(hash)
                links.append(previous)
            }
            try await transaction.execute(
                Self.append,
                [
                    .int64s(numbers), .uuids(entries.map(\.id.rawValue)), .timestamps(entries.map(\.at.microseconds)),
                    .byteStrings(hashes), .byteStrings(links),
                ])
            crash(at: .sealingBeforeCommit)
            return entries.count
        }
    }

    private static let months = PostgresStatement("SELECT kababeat_audit_months(3)") { row throws(PostgresError) in try row.int64(0) }

    /// Makes the partitions of this month and of the three after it, where they are missing. Throws as `seal`.
    func makeMonths() async throws(Problem) {
        _ = try await postgres.rows(Self.months, [], as: .system, within: timeout)
    }

    // MARK: Walking

    private static let links = PostgresStatement(
        """
        SELECT link.seq, link.entry_id, link.entry_at, link.entry_hash, link.chain_hash, entry.id IS NOT NULL, \(AuditEntry.columns)
        FROM audit_chain AS link
        LEFT JOIN audit_log AS entry ON (entry.at, entry.id) = (link.entry_at, link.entry_id)
        WHERE link.seq > $1 AND link.seq <= $2 ORDER BY link.seq LIMIT $3
        """
    ) { row throws(PostgresError) in
        AuditLink(
            number: try row.int64(0), entryID: EntityID(rawValue: try row.uuid(1)),
            entryAt: Timestamp(microseconds: try row.timestampMicroseconds(2)), entryHash: try row.bytes(3),
            chainHash: try row.bytes(4), entry: try row.bool(5) ? try AuditEntry(row, from: 6) : nil)
    }

    /// Links after number `after` and up to `last`, in order, at most `most`. Throws `storeUnavailable`, `overloaded` or `internal`.
    func links(after: Int64, to last: Int64, most: Int) async throws(Problem) -> [AuditLink] {
        try await postgres.rows(Self.links, [.int64(after), .int64(last), .int64(Int64(most))], as: .system, within: timeout)
    }

    /// The number of the last link; 0 where there is none. Throws as `links`.
    func length() async throws(Problem) -> Int64 {
        try await postgres.rows(Self.head, [], as: .system, within: timeout).first?.number ?? 0
    }

    private static let loose = PostgresStatement(
        """
        SELECT count(*), count(next.entry_id) FROM audit_log AS entry
        LEFT JOIN audit_unsealed AS next ON (next.entry_at, next.entry_id) = (entry.at, entry.id)
        WHERE NOT EXISTS (SELECT FROM audit_chain AS link WHERE link.entry_id = entry.id)
        """
    ) { row throws(PostgresError) in (unsealed: try row.int64(0), waiting: try row.int64(1)) }

    /// Entries that are in no chain, and those of them that wait to be. Throws as `links`.
    func loose() async throws(Problem) -> (unsealed: Int64, waiting: Int64) {
        try await postgres.rows(Self.loose, [], as: .system, within: timeout).first ?? (0, 0)
    }
}
