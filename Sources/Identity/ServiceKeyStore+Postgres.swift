import Contract
import DataPlane
import PostgresClient

/// Service keys: made, listed and revoked as the admin who asks, or as the system for the command line; looked up at the sign-in desk.
struct ServiceKeyStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // MARK: Using

    // One write a key and minute, whatever the number of requests and instances: where another has the row, that one writes it.
    private static let use = PostgresStatement<([UInt8], ServiceAccess)>(
        """
        WITH used AS (
            UPDATE service_keys SET last_used_at = date_trunc('minute', now())
            WHERE id IN (
                SELECT id FROM service_keys
                WHERE digest = ANY($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
                  AND (last_used_at IS NULL OR last_used_at < date_trunc('minute', now()))
                FOR UPDATE SKIP LOCKED
            )
        )
        SELECT digest, id, scopes FROM service_keys
        WHERE digest = ANY($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        """
    ) { row throws(PostgresError) in
        (
            try row.bytes(0),
            ServiceAccess(keyID: EntityID(rawValue: try row.uuid(1)), scopes: Set(try row.texts(2).compactMap(Scope.init(rawValue:))))
        )
    }

    /// What those of the keys may do that are neither revoked nor expired; notes that they were used.
    func use(_ digests: [[UInt8]]) async throws(Problem) -> [[UInt8]: ServiceAccess] {
        let rows = try await postgres.rows(Self.use, [.byteStrings(digests)], as: .authenticator, within: timeout)
        return Dictionary(rows) { first, _ in first }
    }

    // MARK: Managing

    private static let columns = "id, name, scopes, created_by, created_at, expires_at, last_used_at, revoked_at"

    private static func read(_ row: borrowing PostgresRow) throws(PostgresError) -> ServiceKey {
        ServiceKey(
            id: EntityID(rawValue: try row.uuid(0)), name: try row.text(1),
            scopes: Set(try row.texts(2).compactMap(Scope.init(rawValue:))),
            createdBy: (try row.uuidOrNil(3)).map { EntityID(rawValue: $0) },
            createdAt: Timestamp(microseconds: try row.timestampMicroseconds(4)),
            expiresAt: (try row.timestampMicrosecondsOrNil(5)).map { Timestamp(microseconds: $0) },
            lastUsedAt: (try row.timestampMicrosecondsOrNil(6)).map { Timestamp(microseconds: $0) },
            revokedAt: (try row.timestampMicrosecondsOrNil(7)).map { Timestamp(microseconds: $0) })
    }

    private static let insert = PostgresStatement<ServiceKey>(
        """
        INSERT INTO service_keys (id, name, digest, scopes, created_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING \(columns)
        """
    ) { row throws(PostgresError) in try read(row) }

    /// Makes a key, and files `event`. `creator` is nil on the command line.
    func create(
        _ id: EntityID, _ order: ServiceKeyOrder, digest: [UInt8], creator: Account?, filing event: AuditEvent
    ) async throws(Problem) -> ServiceKey {
        let rows = try await postgres.rows(
            Self.insert,
            [
                .uuid(id.rawValue), .text(order.name), .bytes(digest), .texts(order.scopes.map(\.rawValue).sorted()),
                creator.map { .uuid($0.id.rawValue) } ?? .null, order.expiresAt.map { .timestamp($0.microseconds) } ?? .null,
            ], as: creator.map { PostgresSettings(.account($0)) } ?? .system, within: timeout,
            filing: { _ in [event] })
        guard let key = rows.first else { throw .forbidden }
        return key
    }

    private static let page = PostgresStatement<ServiceKey>(
        """
        SELECT \(columns) FROM service_keys
        WHERE $1::timestamptz IS NULL OR (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4
        """
    ) { row throws(PostgresError) in try read(row) }

    /// The newest first, `limit` of them after the one that `position` names.
    func page(
        after position: (time: Timestamp, id: EntityID)?, offset: Int, limit: Int, for admin: Account
    ) async throws(Problem) -> [ServiceKey] {
        try await postgres.rows(
            Self.page,
            [
                position.map { .timestamp($0.time.microseconds) } ?? .null, position.map { .uuid($0.id.rawValue) } ?? .null,
                .int64(Int64(limit)), .int64(Int64(offset)),
            ], as: PostgresSettings(.account(admin)), within: timeout)
    }

    private static let count = PostgresStatement<Int64>("SELECT count(*) FROM service_keys") { row throws(PostgresError) in
        try row.int64(0)
    }

    func count(for admin: Account) async throws(Problem) -> Int64 {
        try await postgres.rows(Self.count, [], as: PostgresSettings(.account(admin)), within: timeout).first ?? 0
    }

    private static let revoke = PostgresStatement<String>(
        "UPDATE service_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING name"
    ) { row throws(PostgresError) in try row.text(0) }

    /// Revokes a key, and files what `event` makes of its name. False where there is no such key, or none any more.
    func revoke(
        _ id: EntityID, by admin: Account, filing event: @Sendable (String) -> AuditEvent
    ) async throws(Problem) -> Bool {
        try await !postgres.rows(
            Self.revoke, [.uuid(id.rawValue)], as: PostgresSettings(.account(admin)), within: timeout, filing: { $0.map(event) }
        ).isEmpty
    }
}
