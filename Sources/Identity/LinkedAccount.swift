import Contract

/// What Postgres has for an identity that somebody else vouches for.
struct LinkedAccount: Sendable, Equatable {
    let id: EntityID
    let status: AccountStatus
    let roles: Roles
    /// Whether its e-mail address has been verified here.
    let isVerified: Bool
}
