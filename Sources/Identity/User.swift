import Contract

/// What everybody may see of an active account.
struct UserProfile: Sendable, Equatable {
    let id: EntityID
    let version: Int64
    let username: String
    let displayName: String?
    let avatarURL: String?
    let bio: String?
    let isVerified: Bool
    let isCreator: Bool
    /// A JSON object.
    let socialLinks: String
    let createdAt: Timestamp
}
