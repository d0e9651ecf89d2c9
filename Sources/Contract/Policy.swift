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

    /// How an account stands to a row.
    public enum Relation: String, Sendable, CaseIterable {
        case owner, collaborator, viewer
    }

    public enum Decision: Sendable, Hashable {
        case allowed
        /// Nobody is signed in, and somebody might be allowed.
        case signInNeeded
        case forbidden
    }

    public func decide(_ principal: Principal) -> Decision {
        switch self {
        case .anyone: return .allowed
        case .signedIn, .relation: return decide(principal) { _ in true }
        case .role(let role): return decide(principal) { $0.roles.contains(Roles(role)) }
        case .scope(let scope):
            if case .service(let access) = principal { return access.scopes.contains(scope) ? .allowed : .forbidden }
            return principal == .anonymous ? .signInNeeded : .forbidden
        case .anyOf(let policies):
            let decisions = policies.map { $0.decide(principal) }
            return decisions.contains(.allowed) ? .allowed : decisions.contains(.signInNeeded) ? .signInNeeded : .forbidden
        case .allOf(let policies):
            let decisions = policies.map { $0.decide(principal) }
            return decisions.contains(.forbidden) ? .forbidden : decisions.contains(.signInNeeded) ? .signInNeeded : .allowed
        }
    }

    private func decide(_ principal: Principal, _ rule: (Account) -> Bool) -> Decision {
        switch principal {
        case .account(let account): rule(account) ? .allowed : .forbidden
        case .anonymous: .signInNeeded
        case .service, .authenticator, .system: .forbidden
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
