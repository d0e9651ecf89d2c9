/// On whose behalf something is done. Postgres decides what each may see; see the policies in `sql/`.
public enum Principal: Sendable, Hashable {
    /// Nobody in particular: what everybody may see, and the only principal whose answers are shared between viewers.
    case anonymous
    /// Somebody who is signed in, in good standing.
    case account(Account)
    /// A job or a dashboard with a service key.
    case service(ServiceAccess)
    /// The sign-in desk: what finds out who somebody is, before there is an account to act for. Sees credentials and sessions, and
    /// no beat, order or licence. Never made from a request's own words.
    case authenticator
    /// The gateway itself: import, relay, verification. Never made from a request.
    case system

    /// The account that acts, if one does.
    public var account: Account? {
        if case .account(let account) = self { account } else { nil }
    }

    /// What is kept for the principal is kept under this: the account's id, or the service key's. Nil where nothing is.
    public var owner: EntityID? {
        switch self {
        case .account(let account): account.id
        case .service(let access): access.keyID
        case .anonymous, .authenticator, .system: nil
        }
    }
}

/// An account that acts, as Postgres had it at the beginning of this request.
public struct Account: Sendable, Hashable {
    public let id: EntityID
    /// The session of ours, or nil where a trusted issuer's token speaks for the account.
    public let sessionID: EntityID?
    public let roles: Roles
    /// Roles that the account holds and may not use in this session, because it takes a second factor for them.
    public let withheld: Roles
    /// Whether the e-mail address is known to be its holder's.
    public let isVerified: Bool
    /// Whether this session has passed a second factor.
    public let hasSecondFactor: Bool

    public init(
        id: EntityID, sessionID: EntityID?, roles: Roles, withheld: Roles = [], isVerified: Bool, hasSecondFactor: Bool
    ) {
        self.id = id
        self.sessionID = sessionID
        self.roles = roles
        self.withheld = withheld
        self.isVerified = isVerified
        self.hasSecondFactor = hasSecondFactor
    }
}

/// What an account may be. `user` is what every account is; sellers and artists are creators.
public enum Role: String, Sendable, CaseIterable {
    case user, creator, brand, admin
}

/// The roles of one account.
public struct Roles: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public init(_ roles: some Sequence<Role>) {
        self = roles.reduce(into: []) { $0.formUnion(Roles($1)) }
    }

    public init(_ role: Role) {
        switch role {
        case .user: self = .user
        case .creator: self = .creator
        case .brand: self = .brand
        case .admin: self = .admin
        }
    }

    public static let user = Roles(rawValue: 1)
    public static let creator = Roles(rawValue: 2)
    public static let brand = Roles(rawValue: 4)
    public static let admin = Roles(rawValue: 8)

    /// The roles that are in it, in the order of `Role.allCases`.
    public var all: [Role] { Role.allCases.filter { contains(Roles($0)) } }

    /// The one that Postgres is told: the policies of an admin include those of a creator, and so on down.
    public var highest: Role { all.last ?? .user }
}

/// A service key that acts.
public struct ServiceAccess: Sendable, Hashable {
    public let keyID: EntityID
    public let scopes: Set<Scope>

    public init(keyID: EntityID, scopes: Set<Scope>) {
        self.keyID = keyID
        self.scopes = scopes
    }
}

/// What a service key may be used for.
public enum Scope: String, Sendable, CaseIterable {
    case catalogueRead = "catalogue:read"
    case recommendationsWrite = "recommendations:write"
    case analyticsRead = "analytics:read"
    case eventsWrite = "events:write"
    case auditRead = "audit:read"
}
