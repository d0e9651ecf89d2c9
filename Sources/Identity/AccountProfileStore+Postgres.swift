import Contract
import DataPlane
import PostgresClient

/// The statements that change what an account shows of itself; what belongs together is one transaction of `AccountProfileService`.
enum AccountProfileStore {
    /// An account before a change, locked until the transaction ends.
    struct Current: Sendable {
        let version: Int64
        let username: String
        let displayName: String?
        let avatarURL: String?
        let isCreator: Bool
    }

    private static let lock = PostgresStatement<Current>(
        "SELECT version, username, display_name, avatar_url, is_creator FROM users WHERE id = $1 AND status <> 'deleted' FOR UPDATE"
    ) { row throws(PostgresError) in
        Current(
            version: try row.int64(0), username: try row.text(1), displayName: try row.textOrNil(2), avatarURL: try row.textOrNil(3),
            isCreator: try row.bool(4))
    }

    static func lock(_ id: EntityID, in transaction: PostgresTransaction) async throws -> Current {
        guard let current = try await transaction.query(lock, [.uuid(id.rawValue)]).first else { throw Problem.unauthenticated }
        return current
    }

    private static let update = PostgresStatement<Void>(
        """
        UPDATE users SET display_name = CASE WHEN $2 THEN $3 ELSE display_name END, bio = CASE WHEN $4 THEN $5 ELSE bio END,
               avatar_url = CASE WHEN $6 THEN $7 ELSE avatar_url END, version = version + 1, updated_at = now()
        WHERE id = $1
        """)
    private static let mergeLinks = PostgresStatement<Void>(
        """
        INSERT INTO user_profiles AS profile (user_id, social_links) VALUES ($1, jsonb_strip_nulls($2::jsonb))
        ON CONFLICT (user_id) DO UPDATE SET social_links = jsonb_strip_nulls(profile.social_links || $2::jsonb),
               version = profile.version + 1, updated_at = now()
        """)
    private static let mergePreferences = PostgresStatement<Void>(
        """
        UPDATE user_accounts SET preferences = jsonb_strip_nulls(preferences || $2::jsonb), version = version + 1, updated_at = now()
        WHERE user_id = $1
        """)

    static func apply(_ change: ProfileChange, to id: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        var parameters: [PostgresValue] = [.uuid(id.rawValue)]
        for part in [change.displayName, change.bio, change.avatarURL] {
            parameters += [.bool(part != .keep), part.value.map(PostgresValue.text) ?? .null]
        }
        try await transaction.execute(update, parameters)
        if let links = change.socialLinks { try await transaction.execute(mergeLinks, [.uuid(id.rawValue), .json(links)]) }
        if let preferences = change.preferences {
            try await transaction.execute(mergePreferences, [.uuid(id.rawValue), .json(preferences)])
        }
    }

    private static let rename = PostgresStatement<Void>(
        "UPDATE users SET username = $2, version = version + 1, updated_at = now() WHERE id = $1")

    static func rename(_ id: EntityID, _ username: String, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(rename, [.uuid(id.rawValue), .text(username)])
    }

    private static let becomeCreator = PostgresStatement<Void>(
        """
        WITH role AS (INSERT INTO user_roles (user_id, role) VALUES ($1, 'creator') ON CONFLICT DO NOTHING)
        UPDATE users SET is_creator = true, version = version + 1, updated_at = now() WHERE id = $1
        """)

    static func becomeCreator(_ id: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        try await transaction.execute(becomeCreator, [.uuid(id.rawValue)])
    }

    // What the desk itself does not see, and finds by the address.
    private static let forget = PostgresStatement<Void>("SELECT kababeat_forget_account($1)")

    // What money points at stays: the row, its id and its roles. The name that takes the old one's place says nothing of it.
    private static let anonymise = PostgresStatement<Void>(
        """
        WITH account AS (
            UPDATE user_accounts SET email = NULL, email_verified_at = NULL, preferences = '{}', suspended_at = NULL, suspended_reason = NULL,
                   suspended_from = NULL, version = version + 1, updated_at = now()
            WHERE user_id = $1),
        profile AS (UPDATE user_profiles SET social_links = '{}', version = version + 1, updated_at = now() WHERE user_id = $1),
        credentials AS (DELETE FROM user_credentials WHERE user_id = $1),
        identities AS (DELETE FROM user_identities WHERE user_id = $1),
        secrets AS (DELETE FROM one_time_secrets WHERE user_id = $1),
        codes AS (DELETE FROM recovery_codes WHERE user_id = $1),
        tokens AS (DELETE FROM email_tokens WHERE user_id = $1)
        UPDATE users SET username = 'deleted-' || right(id::text, 12), display_name = NULL, avatar_url = NULL, bio = NULL,
               is_verified = false, status = 'deleted', deleted_at = now(), version = version + 1, updated_at = now()
        WHERE id = $1
        """)

    // Sessions stay for their refresh tokens, which are to be known for what they are when somebody shows one.
    private static let blankSessions = PostgresStatement<Void>(
        "UPDATE sessions SET user_agent = NULL, address = NULL WHERE user_id = $1 AND (user_agent IS NOT NULL OR address IS NOT NULL)")

    /// Ends every session of the account, and takes everything that says who it was from it. The audit log keeps what it has.
    static func anonymise(_ id: EntityID, in transaction: PostgresTransaction) async throws(PostgresError) {
        let key: [PostgresValue] = [.uuid(id.rawValue)]
        try await transaction.execute(forget, key)
        try await transaction.execute(anonymise, key)
        // After the credentials are gone, so that no sign-in that is under way leaves another.
        try await AccountStore.endSessions(of: id, because: .deleted, in: transaction)
        try await transaction.execute(blankSessions, key)
    }
}
