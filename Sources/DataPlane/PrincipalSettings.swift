import Contract
import PostgresClient

/// Principals as the policies in `sql/` know them: settings that last for one transaction and travel with its first statement.
extension PostgresSettings {
    /// What everybody may see.
    public static let anonymous = PostgresSettings(.anonymous)
    /// The sign-in desk: credentials and sessions, nothing else.
    public static let authenticator = PostgresSettings(.authenticator)
    /// The gateway's own work: import, relay, verification. Never for a request.
    public static let system = PostgresSettings(.system)
    /// As `system`, for what may be lost with the server because it is then done once more: COMMIT waits for no disk and no standby.
    public static let repeatable = PostgresSettings(.system, with: [("synchronous_commit", "off")])

    /// `others` hold for the same transaction.
    public init(_ principal: Principal, with others: [(name: String, value: String)] = []) {
        let (role, user) =
            switch principal {
            case .anonymous: ("anonymous", "")
            case .account(let account): (account.roles.highest.rawValue, account.id.description)
            case .service(let access): ("service", access.keyID.description)
            case .authenticator: ("authenticator", "")
            case .system: ("system", "")
            }
        self.init([("kababeat.role", role), ("kababeat.user", user)] + others)
    }
}
