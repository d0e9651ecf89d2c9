import Contract
import Mail

/// Somebody else who says who people are, trusted by configuration: a Supabase project, a company's own sign-in. Their access tokens
/// are taken as if they were ours.
public struct TrustedIssuer: Sendable {
    /// `iss`, to the letter.
    let issuer: String
    /// One of these has to be in `aud`.
    let audiences: Set<String>
    let source: KeySource
    let algorithms: Set<SigningAlgorithm>
    /// `typ` of the tokens that are taken; nil for the usual ones.
    let type: String?
    let claims: IdentityClaims

    enum KeySource: Sendable {
        case published(IssuerURL)
        case shared([UInt8])
    }

    /// What tokens are taken without `type`: what says that it is an access token, and what says nothing much.
    private static let usualTypes: Set<String?> = ["at+jwt", "application/at+jwt", "jwt", nil]

    func accepts(type: String?) -> Bool {
        let type = type?.lowercased()
        return self.type.map { $0.lowercased() == type } ?? Self.usualTypes.contains(type)
    }
}

/// Which claims of an issuer's tokens say who somebody is. A name with points leads into objects: `user_metadata.user_name`.
struct IdentityClaims: Sendable, Equatable {
    var subject = "sub"
    var email = "email"
    var emailVerified = EmailRule.claim("email_verified")
    var username = "preferred_username"
    var displayName = "name"

    /// When an address is known to be its holder's.
    enum EmailRule: Sendable, Equatable {
        /// Where this claim is true. It must be one that its subject cannot write: `user_metadata` of Supabase is none such.
        case claim(String)
        /// With every token: the issuer lets nobody in who has not shown that the address is theirs.
        case always
        case never
    }

    /// Who a token says that its subject is. Nil where it does not say, or at no length that is kept.
    func identity(in claims: TokenClaims, issuer: String) -> ForeignIdentity? {
        guard let subject = claims.text(subject), subject.unicodeScalars.count <= 255, !subject.contains("\0") else { return nil }
        let email = claims.text(email).flatMap { EmailAddress($0) }
        let isVerified =
            switch emailVerified {
            case .claim(let name): claims.isTrue(name)
            case .always: true
            case .never: false
            }
        return ForeignIdentity(
            key: IdentityKey(issuer: issuer, subject: subject), email: email, isEmailVerified: isVerified && email != nil,
            username: claims.text(username), displayName: claims.text(displayName))
    }
}

/// An account as somebody else names it.
struct IdentityKey: Sendable, Hashable {
    let issuer: String
    let subject: String
}

/// What somebody else says of one of their accounts.
struct ForeignIdentity: Sendable, Equatable {
    let key: IdentityKey
    let email: EmailAddress?
    /// Whether the issuer vouches for the address.
    let isEmailVerified: Bool
    let username: String?
    let displayName: String?
}
