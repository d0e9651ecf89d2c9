import Contract
import Credentials
import DataPlane
import PostgresClient

/// Mails as Postgres keeps them: the text sealed until the mail is sent, and nothing of it afterwards.
struct MailStore: Sendable {
    let postgres: PostgresAccess
    let timeout = Duration.seconds(5)

    private static let insert = PostgresStatement<Void>(
        """
        WITH mail AS (INSERT INTO mails (id, recipient, template, subject, sealed_text) VALUES ($1, $2, $3, $4, $5))
        INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('mail', $1, 1, 'upsert')
        """)

    /// Leaves a mail in the outbox of a transaction: it is sent if that commits. `id` is a new one; `sealed` is bound to it.
    static func insert(
        _ id: EntityID, to recipient: String, template: String, subject: String, sealed: [UInt8], in transaction: PostgresTransaction
    ) async throws(PostgresError) {
        try await transaction.execute(
            insert, [.uuid(id.rawValue), .text(recipient), .text(template), .text(subject), .bytes(sealed)])
    }

    /// A mail as it is stored. Once it has been sent, `sealed` is nil and `recipient` empty.
    struct Stored: Sendable {
        let id: EntityID
        let recipient: String
        let subject: String
        let sealed: [UInt8]?
        let version: Int64
        let writtenAt: Timestamp
    }

    private static let select = PostgresStatement<Stored>(
        """
        SELECT id, coalesce(recipient, ''), subject, CASE WHEN sent_at IS NULL THEN sealed_text END, version, created_at FROM mails
        WHERE id = ANY($1)
        """
    ) { row throws(PostgresError) in
        Stored(
            id: EntityID(rawValue: try row.uuid(0)), recipient: try row.text(1), subject: try row.text(2), sealed: try row.bytesOrNil(3),
            version: try row.int64(4), writtenAt: Timestamp(microseconds: try row.timestampMicroseconds(5)))
    }

    func mails(_ ids: [EntityID]) async throws(Problem) -> [Stored] {
        try await postgres.rows(Self.select, [.uuids(ids.map(\.rawValue))], as: .system, within: timeout)
    }

    private static let markSent = PostgresStatement<Void>(
        "UPDATE mails SET sent_at = now(), sealed_text = NULL, recipient = NULL WHERE id = $1")

    /// Notes that a mail is sent, and forgets its text and whom it went to.
    func markSent(_ id: EntityID) async throws(Problem) {
        _ = try await postgres.rows(Self.markSent, [.uuid(id.rawValue)], as: .system, within: timeout)
    }

    private static let forget = PostgresStatement<Void>(
        """
        DELETE FROM mails WHERE id IN (
            SELECT id FROM mails WHERE created_at < now() - $1::bigint * interval '1 second'
                AND NOT EXISTS (SELECT FROM outbox WHERE aggregate_type = 'mail' AND aggregate_id = mails.id)
            ORDER BY created_at LIMIT 1000)
        """)

    /// Deletes mails that are older than `age` and wait for nothing, a thousand at most: addresses are kept no longer than they are of use.
    func forget(olderThan age: Duration) async throws(Problem) {
        _ = try await postgres.rows(Self.forget, [.int64(age.components.seconds)], as: .system, within: timeout)
    }
}
