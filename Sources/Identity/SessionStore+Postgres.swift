import Contract
import Credentials
import DataPlane
import PostgresClient

/// Sessions and refresh tokens. Opening and refreshing is the sign-in desk's work; listing and revoking runs as the account itself.
struct SessionStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration
    let lifetimes: SessionLifetimes
    let successorKey: SuccessorKey

    // MARK: Opening

    /// A session to be opened.
    struct Opening: Sendable {
        let id: EntityID
        let user: EntityID
        let caller: Caller
        let proof: SignInProof
        let hasSecondFactor: Bool
    }

    // Locks the credentials that the sign-in rests on: a password that is being changed either ends this session too, or it is not
    // opened at all; and so it is, where no second factor was shown, with one that is being confirmed. Each opening takes what is long over
    // out of the table, a little faster than it comes in.
    private static let open = PostgresStatement<Bool>(
        """
        WITH proof AS (
            SELECT user_id FROM user_credentials WHERE user_id = $2 AND changed_at = $8 FOR SHARE
        ), unconfirmed AS (
            SELECT user_id FROM one_time_secrets WHERE user_id = $2 AND confirmed_at IS NULL FOR SHARE
        ), long_over AS (
            DELETE FROM sessions WHERE id IN (
                SELECT id FROM sessions WHERE expires_at < now() - interval '30 days' ORDER BY expires_at LIMIT 2 FOR UPDATE SKIP LOCKED)
        ), session AS (
            INSERT INTO sessions (id, user_id, expires_at, user_agent, address, second_factor_at)
            SELECT $1, $2, now() + make_interval(secs => $3), $4, $5, CASE WHEN $6 THEN now() END
            WHERE ($8 IS NULL OR EXISTS (SELECT FROM proof))
                AND ($6 OR EXISTS (SELECT FROM unconfirmed) OR NOT EXISTS (SELECT FROM one_time_secrets WHERE user_id = $2))
            RETURNING id, expires_at
        )
        INSERT INTO refresh_tokens (digest, session_id, generation, expires_at)
        SELECT $7, id, 0, least(expires_at, now() + make_interval(secs => $9)) FROM session
        RETURNING true
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    /// Makes a session with its first refresh token. False where what it rests on holds no longer.
    func open(_ opening: Opening, token: OpaqueToken) async throws(Problem) -> Bool {
        let since: PostgresValue = if case .password(let since) = opening.proof { .timestamp(since.microseconds) } else { .null }
        return try await !postgres.rows(
            Self.open,
            [
                .uuid(opening.id.rawValue), .uuid(opening.user.rawValue), .double(lifetimes.absolute.inSeconds),
                .text(opening.caller.userAgent), .text(opening.caller.address.description), .bool(opening.hasSecondFactor),
                .bytes(token.digest), since, .double(lifetimes.idle.inSeconds),
            ], as: .authenticator, within: timeout
        ).isEmpty
    }

    // MARK: Refreshing

    /// What a refresh token that was shown stands for.
    struct Shown: Sendable {
        let sessionID: EntityID
        let user: EntityID
        let verdict: RefreshVerdict
        let generation: Int32
        let status: AccountStatus
        /// What the token was derived with that took its place only just now, and waits to be used; nil where there is no such token.
        let salt: [UInt8]?
    }

    // One refresh of a session after the other: what a statement after this one reads is true until COMMIT.
    private static let lock = PostgresStatement<Void>(
        "SELECT FROM sessions WHERE id = (SELECT session_id FROM refresh_tokens WHERE digest = $1) FOR UPDATE")

    private static let state = PostgresStatement<Shown>(
        """
        SELECT sessions.id, sessions.user_id, token.generation, users.status,
               revoked_at IS NULL AND sessions.expires_at > now() AND token.expires_at > now(), token.used_at IS NOT NULL,
               EXISTS (SELECT FROM refresh_tokens child
                       WHERE child.session_id = sessions.id AND child.generation = token.generation + 1 AND child.parent = token.digest),
               EXISTS (SELECT FROM refresh_tokens child
                       JOIN refresh_tokens grandchild ON grandchild.session_id = sessions.id
                            AND grandchild.generation = token.generation + 2 AND grandchild.parent = child.digest
                       WHERE child.session_id = sessions.id AND child.generation = token.generation + 1 AND child.parent = token.digest),
               CASE WHEN EXISTS (
                   SELECT FROM refresh_tokens child
                   WHERE child.session_id = sessions.id AND child.generation = token.generation + 1 AND child.parent = token.digest
                       AND child.used_at IS NULL AND child.created_at > now() - make_interval(secs => $2))
               THEN token.successor_salt END
        FROM refresh_tokens token JOIN sessions ON sessions.id = token.session_id JOIN users ON users.id = sessions.user_id
        WHERE token.digest = $1
        """
    ) { row throws(PostgresError) in
        Shown(
            sessionID: EntityID(rawValue: try row.uuid(0)), user: EntityID(rawValue: try row.uuid(1)),
            verdict: RefreshVerdict(
                isLive: try row.bool(4), isUsed: try row.bool(5), hasChild: try row.bool(6), hasGrandchild: try row.bool(7)),
            generation: try row.int32(2), status: AccountStatus(rawValue: try row.text(3)) ?? .suspended,
            salt: try row.bytesOrNil(8))
    }

    private static let rotate = PostgresStatement<Void>(
        """
        WITH used AS (
            UPDATE refresh_tokens
            SET used_at = coalesce(used_at, now()), successor_salt = CASE WHEN digest = $1 THEN $8::bytea ELSE successor_salt END
            WHERE session_id = $2 AND (digest = $1 OR (used_at IS NULL AND parent = $1 AND generation = $3))
        ), expired AS (
            DELETE FROM refresh_tokens WHERE digest IN (
                SELECT digest FROM refresh_tokens WHERE expires_at < now() ORDER BY expires_at LIMIT 3 FOR UPDATE SKIP LOCKED)
        ), session AS (
            UPDATE sessions SET last_used_at = now(), user_agent = $6, address = $7 WHERE id = $2 RETURNING id, expires_at
        )
        INSERT INTO refresh_tokens (digest, session_id, parent, generation, expires_at)
        SELECT $4, id, $1, $3, least(expires_at, now() + make_interval(secs => $5)) FROM session
        """)

    private static let end = PostgresStatement<Void>(
        "UPDATE sessions SET revoked_at = now(), revoked_reason = $2 WHERE id = $1 AND revoked_at IS NULL")

    /// Puts another token in the place of the one that was shown, unless that was done only just now; or ends the session where that one
    /// had been used before, which is filed. Both are committed. Nil where there is no such token.
    func refresh(_ shown: OpaqueToken, caller: Caller) async throws(Problem) -> (state: Shown, token: OpaqueToken)? {
        let salt = RandomBytes.make(32)
        let new = OpaqueToken(after: shown, salt: salt, key: successorKey)
        // Swift 6.3.1 miscompiles some closures that keep larger structures across an await; arrays are none.
        let asked = [PostgresValue.bytes(shown.digest)]
        let together = PostgresValue.double(lifetimes.together.inSeconds)
        let replacement: [PostgresValue] = [
            .bytes(new.digest), .double(lifetimes.idle.inSeconds), .text(caller.userAgent), .text(caller.address.description), .bytes(salt),
        ]
        let found = try await postgres.transaction(as: .authenticator, within: timeout) { transaction -> Shown? in
            try await transaction.execute(Self.lock, asked)
            guard let state = try await transaction.query(Self.state, asked + [together]).first else { return nil }
            switch state.verdict {
            case .again where state.salt != nil: break
            case .rotate, .again:
                guard state.status == .active || state.status == .pending else { break }
                try await transaction.execute(
                    Self.rotate, asked + [.uuid(state.sessionID.rawValue), .int32(state.generation + 1)] + replacement)
            case .reused:
                try await transaction.execute(Self.end, [.uuid(state.sessionID.rawValue), .text(RevocationReason.reuse.rawValue)])
                try await transaction.file(
                    AuditEvent(
                        "refresh_token_reused", .session, .critical, actor: state.user,
                        target: AuditEvent.Target(kind: "session", id: state.sessionID), caller: caller))
            case .ended: break
            }
            return state
        }
        guard let found else { return nil }
        guard found.verdict == .again, let salt = found.salt else { return (found, new) }
        return (found, OpaqueToken(after: shown, salt: salt, key: successorKey))
    }

    // MARK: Ending

    private static let endByToken = PostgresStatement<(EntityID, EntityID)>(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = $2
        WHERE id = (SELECT session_id FROM refresh_tokens WHERE digest = $1) AND revoked_at IS NULL
        RETURNING id, user_id
        """
    ) { row throws(PostgresError) in (EntityID(rawValue: try row.uuid(0)), EntityID(rawValue: try row.uuid(1))) }

    /// Ends the session that a refresh token belongs to, used or not, if it lives, and files what `event` makes of it and its account.
    func end(
        holding token: OpaqueToken, because reason: RevocationReason, filing event: @Sendable (EntityID, EntityID) -> AuditEvent
    ) async throws(Problem) {
        _ = try await postgres.rows(
            Self.endByToken, [.bytes(token.digest), .text(reason.rawValue)], as: .authenticator, within: timeout,
            filing: { $0.map { event($0.0, $0.1) } })
    }

    private static let endOwn = PostgresStatement<EntityID>(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = $3
        WHERE user_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id = $2) AND id IS DISTINCT FROM $4 RETURNING id
        """
    ) { row throws(PostgresError) in EntityID(rawValue: try row.uuid(0)) }

    /// Ends sessions of the account that asks: `id` or all, but not `spared`, and files what `events` makes of them. Answers those that it
    /// ended.
    @discardableResult
    func end(
        _ id: EntityID?, sparing spared: EntityID?, of account: Account, because reason: RevocationReason,
        filing events: @Sendable ([EntityID]) -> [AuditEvent]
    ) async throws(Problem) -> [EntityID] {
        try await postgres.rows(
            Self.endOwn,
            [
                .uuid(account.id.rawValue), id.map { .uuid($0.rawValue) } ?? .null, .text(reason.rawValue),
                spared.map { .uuid($0.rawValue) } ?? .null,
            ], as: PostgresSettings(.account(account)), within: timeout, filing: events)
    }

    // MARK: Listing

    /// Sessions that one answer lists.
    static let mostListed = 100

    private static let list = PostgresStatement<Session>(
        """
        SELECT id, created_at, last_used_at, least(expires_at, last_used_at + make_interval(secs => $2)), user_agent, address,
               second_factor_at IS NOT NULL
        FROM sessions
        WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() AND last_used_at > now() - make_interval(secs => $2)
        ORDER BY created_at DESC, id DESC LIMIT $3
        """
    ) { row throws(PostgresError) in
        Session(
            id: EntityID(rawValue: try row.uuid(0)), createdAt: Timestamp(microseconds: try row.timestampMicroseconds(1)),
            lastUsedAt: Timestamp(microseconds: try row.timestampMicroseconds(2)),
            expiresAt: Timestamp(microseconds: try row.timestampMicroseconds(3)), userAgent: try row.textOrNil(4),
            address: try row.textOrNil(5), hasSecondFactor: try row.bool(6))
    }

    /// The live sessions of the account that asks, the newest first, at most `mostListed`.
    func sessions(of account: Account) async throws(Problem) -> [Session] {
        try await postgres.rows(
            Self.list, [.uuid(account.id.rawValue), .double(lifetimes.idle.inSeconds), .int64(Int64(Self.mostListed))],
            as: PostgresSettings(.account(account)), within: timeout)
    }
}

extension Duration {
    /// As `make_interval(secs => ...)` takes it.
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
