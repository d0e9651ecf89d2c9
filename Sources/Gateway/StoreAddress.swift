import Contract
import PostgresClient

/// Where a store is looked for, as it may be shown to anybody.
struct StoreAddress: Sendable, Equatable {
    /// `PostgreSQL at 127.0.0.1:15432`, several addresses with commas between.
    let place: String
    /// The settings that say so.
    let variables: String

    init(_ store: StoreName, _ settings: Settings) {
        switch store {
        case .postgres:
            let first = settings.postgres()
            let servers = [(first.host, first.port)] + first.standbys.map { ($0.host, $0.port) }
            place = "PostgreSQL at \(servers.map { Self.text($0.0, $0.1) }.joined(separator: ", "))"
            variables = Self.names("postgres.host", "postgres.port")
        case .mongo:
            let hosts = Self.hosts(settings.text("mongo.uri"))
            place = hosts.isEmpty ? "MongoDB" : "MongoDB at \(hosts)"
            variables = Self.names("mongo.uri")
        case .redis:
            place = "Redis at \(Self.text(settings.text("redis.host"), settings.checked("redis.port")))"
            variables = Self.names("redis.host", "redis.port")
        }
    }

    static func text(_ host: String, _ port: Int) -> String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private static func names(_ keys: String...) -> String { keys.map(Settings.variable).joined(separator: " and ") }

    /// The hosts of a connection string, without user and password. Empty where they cannot be told from these for certain.
    private static func hosts(_ uri: String) -> Substring {
        guard let start = uri.firstRange(of: "://")?.upperBound else { return "" }
        let authority = uri[start...].prefix { $0 != "/" && $0 != "?" }
        if let at = authority.lastIndex(of: "@") { return authority[authority.index(after: at)...] }
        return uri.contains("@") ? "" : authority
    }
}
