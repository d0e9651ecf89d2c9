import PostgresClient

/// The principals of the gateway itself, as the policies in `sql/` know them: settings that last for one transaction.
extension PostgresSettings {
    /// What everybody may see.
    public static let anonymous = PostgresSettings([("kababeat.role", "anonymous"), ("kababeat.user", "")])
    /// The gateway's own work: import, relay, verification. Never for a request.
    public static let system = PostgresSettings([("kababeat.role", "system"), ("kababeat.user", "")])
}
