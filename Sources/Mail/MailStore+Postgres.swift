import Contract
import Credentials
import DataPlane
import PostgresClient

/// Mails as Postgres keeps them: the text sealed until the mail is sent, and nothing of it afterwards.
public struct MailStore: Sendable {
    /// What keys for mail texts are derived under.
    public static let sealLabel = "mail"

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
}
