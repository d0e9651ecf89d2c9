/// Something that somebody may have to account for one day. Holds no secret, no password and no token.
public struct AuditEvent: Sendable {
    public enum Category: String, Sendable, CaseIterable {
        case signIn = "sign_in"
        case account, session, permission, role, key, admin, limit
    }

    public enum Severity: String, Sendable, CaseIterable {
        case info, notice, warning, critical
    }

    /// What was done, in the past tense: `login_failed`, `role_granted`.
    public let action: String
    public let category: Category
    public let severity: Severity
    /// The account that did it, if one did.
    public let actor: EntityID?
    /// What it was done to: `user`, `session`, `beat`, and its id.
    public let target: Target?
    public let caller: Caller?
    public let metadata: [String: String]

    public struct Target: Sendable, Hashable {
        public let kind: String
        public let id: EntityID

        public init(kind: String, id: EntityID) {
            self.kind = kind
            self.id = id
        }
    }

    public init(
        _ action: String, _ category: Category, _ severity: Severity = .info, actor: EntityID? = nil, target: Target? = nil,
        caller: Caller? = nil, metadata: [String: String] = [:]
    ) {
        self.action = action
        self.category = category
        self.severity = severity
        self.actor = actor
        self.target = target
        self.caller = caller
        self.metadata = metadata
    }
}

/// Where features write what has to be accounted for.
public protocol AuditTrail: Sendable {
    /// Returns once the event is durable. Throws `storeUnavailable` or `overloaded`: whatever must be accounted for waits for this.
    func record(_ event: AuditEvent) async throws(Problem)
}
