/// On whose behalf something is done. Postgres decides what each may see; see the policies in `sql/`.
public enum Principal: Sendable, Hashable {
    /// Nobody in particular: what everybody may see, and the only principal whose answers are shared between viewers.
    case anonymous
    /// The gateway itself: import, relay, verification. Never made from a request.
    case system
}

/// Who may use a route, by name in the route table.
public struct Policy: Sendable {
    public let name: String
    private let isAllowed: @Sendable (Principal) -> Bool

    public init(_ name: String, isAllowed: @escaping @Sendable (Principal) -> Bool) {
        self.name = name
        self.isAllowed = isAllowed
    }

    public func allows(_ principal: Principal) -> Bool { isAllowed(principal) }

    /// Any caller, signed in or not.
    public static let anyone = Policy("anyone") { _ in true }
}
