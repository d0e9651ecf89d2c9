import Contract
import CrashPoints
import PostgresClient

/// What the transaction that carries a request out leaves with the request's `Idempotency-Key`: it is there if and only if what was asked
/// for is done. Made before the transaction begins, from the claim of its request.
public struct IdempotencyMark: Sendable {
    // No row: the claim has run out, and the request is somebody else's by now.
    fileprivate static let statement = PostgresStatement<Void>(
        """
        UPDATE idempotency_keys SET carried_out_at = now()
        WHERE principal_id = $1 AND key = $2 AND claim = $3 AND state = 'running'
        """)

    /// Empty for a request without a key.
    fileprivate let parameters: [PostgresValue]

    /// Of a request without a key.
    public static let none = IdempotencyMark(nil)

    public init(_ claim: IdempotencyClaim?) {
        guard let claim, let owner = claim.principal.owner else {
            parameters = []
            return
        }
        parameters = [.uuid(owner.rawValue), .text(claim.key.description), .uuid(claim.token.rawValue)]
    }
}

extension PostgresTransaction {
    /// Says with this transaction, which must be its principal's own, that it carries a request out. Call it last: until the end of the
    /// transaction, whoever sends the request again waits for the outcome. Sends nothing for a request without a key. Throws
    /// `idempotencyKeyInUse` where the claim has run out and somebody else carries the request out: this transaction is not to commit.
    public func set(_ mark: IdempotencyMark) async throws {
        guard !mark.parameters.isEmpty else { return }
        guard try await execute(IdempotencyMark.statement, mark.parameters) > 0 else {
            throw Problem(
                .idempotencyKeyInUse, "The request of this Idempotency-Key was taken over meanwhile; send it again in a moment.",
                retryAfter: 1)
        }
        crash(at: .keyAfterMarking)
    }
}
