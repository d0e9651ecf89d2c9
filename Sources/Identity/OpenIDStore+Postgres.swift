import Contract
import DataPlane
import PostgresClient

/// A sign-in that is away at a provider.
struct OpenIDAttempt: Sendable {
    let nonce: String
    /// The PKCE verifier (RFC 7636), sealed.
    let sealedVerifier: [UInt8]
    /// A path of ours; nil where the answer is to be JSON.
    let returnTo: String?
    /// The account that wants the identity for itself; nil for a sign-in.
    let linking: OpenIDLinking?
}

/// Who asked for a link.
struct OpenIDLinking: Sendable {
    let user: EntityID
    /// Nil where the account acts by another issuer's token.
    let session: EntityID?
}

/// Sign-ins that are away at a provider, until they come back or their time is over.
struct OpenIDStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // Each that leaves clears away a few that never came back.
    private static let insert = PostgresStatement<Void>(
        """
        WITH swept AS (
            DELETE FROM sign_in_attempts WHERE state_digest IN (
                SELECT state_digest FROM sign_in_attempts WHERE expires_at <= now() LIMIT 10 FOR UPDATE SKIP LOCKED))
        INSERT INTO sign_in_attempts (
            state_digest, provider, nonce, sealed_verifier, return_to, link_user_id, link_session_id, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
        """)

    func keep(
        _ attempt: OpenIDAttempt, at provider: String, digest: [UInt8], lifetime: Duration
    ) async throws(Problem) {
        func id(_ id: EntityID?) -> PostgresValue { id.map { .uuid($0.rawValue) } ?? .null }
        _ = try await postgres.rows(
            Self.insert,
            [
                .bytes(digest), .text(provider), .text(attempt.nonce), .bytes(attempt.sealedVerifier),
                attempt.returnTo.map(PostgresValue.text) ?? .null, id(attempt.linking?.user), id(attempt.linking?.session),
                .double(lifetime.inSeconds),
            ], as: .authenticator, within: timeout)
    }

    // A link whose session has ended is none any more.
    private static let take = PostgresStatement<OpenIDAttempt>(
        """
        DELETE FROM sign_in_attempts AS attempt WHERE state_digest = $1 AND provider = $2 AND expires_at > now()
          AND (link_session_id IS NULL OR EXISTS (
              SELECT FROM sessions WHERE sessions.id = link_session_id AND revoked_at IS NULL AND sessions.expires_at > now()))
        RETURNING nonce, sealed_verifier, return_to, link_user_id, link_session_id
        """
    ) { row throws(PostgresError) in
        let session = try row.uuidOrNil(4).map { EntityID(rawValue: $0) }
        return OpenIDAttempt(
            nonce: try row.text(0), sealedVerifier: try row.bytes(1), returnTo: try row.textOrNil(2),
            linking: try row.uuidOrNil(3).map { OpenIDLinking(user: EntityID(rawValue: $0), session: session) })
    }

    /// The attempt with this digest, which counts once. Nil where there is none, or none any more.
    func take(_ digest: [UInt8], at provider: String) async throws(Problem) -> OpenIDAttempt? {
        try await postgres.rows(Self.take, [.bytes(digest), .text(provider)], as: .authenticator, within: timeout).first
    }
}
