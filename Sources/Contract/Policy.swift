/// Who may use a route: a value in the route table, made of smaller ones. What it says of a row's owner is decided by Postgres.
public indirect enum Policy: Sendable, Hashable {
    /// Any caller, signed in or not.
    case anyone
    /// Any account in good standing.
    case signedIn
    /// An account with this role.
    case role(Role)
    /// A service key with this scope.
    case scope(Scope)
    /// An account that stands so to the row that the path names. At the door it takes an account; row security decides the rest, and
    /// whoever may not see the row is told that there is none.
    case relation(Relation)
    case anyOf([Policy])
    case allOf([Policy])

    /// The owner of the row, while they hold the role of a creator: for whatever changes, shares or shows what they made.
    public static let owningCreator = Policy.allOf([.relation(.owner), .role(.creator)])

    /// How an account stands to a row.
    public enum Relation: String, Sendable, CaseIterable {
        case owner, collaborator, viewer
    }

    /// What a policy comes to for one caller.
    public enum Decision: Sendable, Hashable {
        case allowed
        /// Nobody is signed in, and somebody might be allowed.
        case signInNeeded
        /// The account may, and this session has not shown the second factor that it takes.
        case secondFactorNeeded
        case forbidden
    }

    /// What the policy comes to for `principal`, as far as that can be told at the door: without a row.
    public func decide(_ principal: Principal) -> Decision {
        switch self {
        case .anyone: return .allowed
        case .signedIn, .relation: return decide(principal) { _ in .allowed }
        case .role(let role):
            return decide(principal) { account in
                if account.roles.contains(Roles(role)) { return .allowed }
                return account.withheld.contains(Roles(role)) ? .secondFactorNeeded : .forbidden
            }
        case .scope(let scope):
            if case .service(let access) = principal { return access.scopes.contains(scope) ? .allowed : .forbidden }
            return principal == .anonymous ? .signInNeeded : .forbidden
        case .anyOf(let policies):
            return Self.first(of: [.allowed, .signInNeeded, .secondFactorNeeded], in: policies, principal) ?? .forbidden
        case .allOf(let policies):
            return Self.first(of: [.forbidden, .signInNeeded, .secondFactorNeeded], in: policies, principal) ?? .allowed
        }
    }

    /// The first of `order` that any of the policies comes to.
    private static func first(of order: [Decision], in policies: [Policy], _ principal: Principal) -> Decision? {
        let decisions = policies.map { $0.decide(principal) }
        return order.first(where: decisions.contains)
    }

    private func decide(_ principal: Principal, _ rule: (Account) -> Decision) -> Decision {
        switch principal {
        case .account(let account): rule(account)
        case .anonymous: .signInNeeded
        case .service, .authenticator, .system: .forbidden
        }
    }

    /// Throws `unauthenticated`, `secondFactorNeeded` or `forbidden` where the principal may not.
    public func check(_ principal: Principal) throws(Problem) {
        switch decide(principal) {
        case .allowed: return
        case .signInNeeded: throw .unauthenticated
        case .secondFactorNeeded: throw .secondFactorNeeded
        case .forbidden: throw .forbidden
        }
    }

    /// As `openapi.yaml` writes it: `anyone`, `signedIn`, `role:admin`, `anyOf(role:admin, owner)`.
    public var name: String {
        switch self {
        case .anyone: "anyone"
        case .signedIn: "signedIn"
        case .role(let role): "role:\(role.rawValue)"
        case .scope(let scope): "scope:\(scope.rawValue)"
        case .relation(let relation): relation.rawValue
        case .anyOf(let policies): "anyOf(\(policies.map(\.name).joined(separator: ", ")))"
        case .allOf(let policies): "allOf(\(policies.map(\.name).joined(separator: ", ")))"
        }
    }
}
