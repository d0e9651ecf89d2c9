import Contract
import DataPlane
import PostgresClient

/// Reads how an account stands to a beat, as that account.
struct BeatViewerStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    private static let select = PostgresStatement<BeatViewer>(
        """
        SELECT beats.status = 'published',
               EXISTS (SELECT FROM favorites WHERE favorites.user_id = $2 AND favorites.beat_id = beats.id),
               ARRAY (
                   SELECT license_type FROM licenses
                   WHERE licenses.beat_id = beats.id AND licenses.user_id = $2 AND licenses.status = 'active'
                     AND (licenses.expires_at IS NULL OR licenses.expires_at > now())
                   ORDER BY license_type
               ),
               beats.creator_id = $2 OR EXISTS (
                   SELECT FROM beat_permissions AS permission
                   WHERE permission.beat_id = beats.id AND permission.user_id = $2 AND permission.accepted_at IS NOT NULL
                     AND permission.permission_type IN ('owner', 'collaborator')
               )
        FROM beats WHERE beats.id = $1 AND beats.deleted_at IS NULL
        """
    ) { row throws(PostgresError) in
        BeatViewer(
            isPublished: try row.bool(0), isFavorite: try row.bool(1), licenses: try row.texts(2), canEdit: try row.bool(3))
    }

    /// Nil where the account may not see the beat, or there is none. Throws `storeUnavailable` or `overloaded`.
    func viewer(of id: EntityID, _ account: Account) async throws(Problem) -> BeatViewer? {
        try await postgres.rows(
            Self.select, [.uuid(id.rawValue), .uuid(account.id.rawValue)], as: PostgresSettings(.account(account)), within: timeout
        ).first
    }
}
