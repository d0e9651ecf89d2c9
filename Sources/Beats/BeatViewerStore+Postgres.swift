import Contract
import DataPlane
import PostgresClient

/// Reads how an account stands to a beat, as that account.
struct BeatViewerStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    /// What `viewer` reads, in order, of `beats`, for the account that the SQL of `account` names.
    static func columns(account: String) -> String {
        """
        beats.status = 'published',
        EXISTS (SELECT FROM favorites WHERE favorites.user_id = \(account) AND favorites.beat_id = beats.id),
        ARRAY (
            SELECT license_type FROM licenses
            WHERE licenses.beat_id = beats.id AND licenses.user_id = \(account) AND licenses.status = 'active'
              AND (licenses.expires_at IS NULL OR licenses.expires_at > now())
            ORDER BY license_type
        ),
        (beats.creator_id = \(account) AND kababeat_is_creator()) OR EXISTS (
            SELECT FROM beat_permissions AS permission
            WHERE permission.beat_id = beats.id AND permission.user_id = \(account) AND permission.accepted_at IS NOT NULL
              AND permission.permission_type IN ('owner', 'collaborator')
        )
        """
    }
    static let columnCount = 4

    static func viewer(_ row: borrowing PostgresRow, from column: Int) throws(PostgresError) -> BeatViewer {
        BeatViewer(
            isPublished: try row.bool(column), isFavorite: try row.bool(column + 1), licenses: try row.texts(column + 2),
            canEdit: try row.bool(column + 3))
    }

    private static let select = PostgresStatement<BeatViewer>(
        "SELECT \(columns(account: "$2")) FROM beats WHERE beats.id = $1 AND beats.deleted_at IS NULL"
    ) { row throws(PostgresError) in try viewer(row, from: 0) }

    /// Nil where the account may not see the beat, or there is none. Throws `storeUnavailable` or `overloaded`.
    func viewer(of id: EntityID, _ account: Account) async throws(Problem) -> BeatViewer? {
        try await postgres.rows(
            Self.select, [.uuid(id.rawValue), .uuid(account.id.rawValue)], as: PostgresSettings(.account(account)), within: timeout
        ).first
    }
}
