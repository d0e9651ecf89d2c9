import Contract
import DataPlane
import PostgresClient

/// Reads public profiles, as the anonymous principal.
struct UserStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    private static let select = PostgresStatement<UserProfile>(
        """
        SELECT id, users.version, username, display_name, avatar_url, bio, is_verified, is_creator, users.created_at,
               coalesce(social_links, '{}')
        FROM users LEFT JOIN user_profiles ON user_id = id WHERE id = ANY($1) AND status = 'active'
        """
    ) { row throws(PostgresError) in
        UserProfile(
            id: EntityID(rawValue: try row.uuid(0)), version: try row.int64(1), username: try row.text(2),
            displayName: try row.textOrNil(3),
            avatarURL: try row.textOrNil(4), bio: try row.textOrNil(5), isVerified: try row.bool(6), isCreator: try row.bool(7),
            socialLinks: try row.json(9), createdAt: Timestamp(microseconds: try row.timestampMicroseconds(8)))
    }

    private static let selectVersions = PostgresStatement<(EntityID, Int64)>(
        "SELECT id, version FROM users WHERE id = ANY($1) AND status = 'active'"
    ) { row throws(PostgresError) in (EntityID(rawValue: try row.uuid(0)), try row.int64(1)) }

    private static let selectByName = PostgresStatement<EntityID>(
        "SELECT id FROM users WHERE username_key = lower($1) AND status = 'active'"
    ) { row throws(PostgresError) in EntityID(rawValue: try row.uuid(0)) }

    /// The profiles of those of `ids` whose accounts are active. Throws `storeUnavailable` or `overloaded`.
    func profiles(_ ids: [EntityID]) async throws(Problem) -> [EntityID: UserProfile] {
        let profiles = try await postgres.rows(
            Self.select, [.uuids(ids.map(\.rawValue))], as: .anonymous, within: timeout)
        return Dictionary(profiles.map { ($0.id, $0) }) { first, _ in first }
    }

    /// The versions of the same profiles. Throws `storeUnavailable` or `overloaded`.
    func versions(_ ids: [EntityID]) async throws(Problem) -> [EntityID: Int64] {
        let versions = try await postgres.rows(Self.selectVersions, [.uuids(ids.map(\.rawValue))], as: .anonymous, within: timeout)
        return Dictionary(versions) { first, _ in first }
    }

    /// The id of the active account with this username, in any case.
    func id(username: String) async throws(Problem) -> EntityID? {
        try await postgres.rows(Self.selectByName, [.text(username)], as: .anonymous, within: timeout).first
    }
}
