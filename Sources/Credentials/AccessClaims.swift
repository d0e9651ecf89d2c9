import Contract

/// What a token of ours says. Who the account is today and whether the session still is one, Postgres says at each request.
public struct AccessClaims: Sendable, Equatable {
    public let userID: EntityID
    public let sessionID: EntityID
    /// The token's own id.
    public let tokenID: EntityID
    /// Seconds since 1970.
    public let expiresAt: Int64
}

/// Why a token counts for nothing.
public enum AccessTokenError: Error, Sendable, Equatable {
    /// Not of our making: another type, another algorithm, another issuer. A trusted issuer may know it.
    case foreign
    /// Has the look of ours, but names a key that is not known here, perhaps not yet.
    case unknownKey
    /// Broken, forged, for another audience, or from the future.
    case invalid
    case expired
}
