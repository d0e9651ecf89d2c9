import Configuration
import Contract
import CrashPoints
import Credentials
import DataPlane
import Foundation
import Logging
import MongoClient
import PostgresClient
import RateLimits
import RedisClient
import Threads

/// Why the settings cannot be used. Says which one, and never shows the value of a secret.
public enum SettingsError: Error, Sendable, CustomStringConvertible {
    case unknown(name: String, origin: String)
    case malformed(name: String, expected: String)
    case unreadableFile(path: String)

    public var description: String {
        switch self {
        case .unknown(let name, let origin): "\(name) in \(origin) is not a setting; `kababeat config` lists all there are"
        case .malformed(let name, let expected): "\(name) must be \(expected)"
        case .unreadableFile(let path): "the settings file \(path) cannot be read; each of its lines is NAME=VALUE or a comment after #"
        }
    }
}

/// What is in force: flags over environment over file over defaults.
public struct Settings: Sendable {
    private let reader: ConfigReader

    /// `flags` are by key (`http.port`). `file` has a line `KABABEAT_NAME=value` for each setting. Throws for a name that is not known,
    /// wherever it stands, and for a value that cannot be read.
    public init(flags: [String: String] = [:], environment: [String: String], file: String? = nil) throws(SettingsError) {
        let known = Set(Setting.all.map(\.variable))
        let written = try file.map { path throws(SettingsError) in try Self.read(path) } ?? [:]
        for name in written.keys.sorted() where !known.contains(name) { throw .unknown(name: name, origin: "the settings file") }
        for name in environment.keys.sorted() where name.hasPrefix("KABABEAT_") && !known.contains(name) && !Self.isOfScripts(name) {
            throw .unknown(name: name, origin: "the environment")
        }
        let flagVariables = Dictionary(Setting.all.compactMap { setting in flags[setting.key].map { (setting.variable, $0) } }) {
            first, _ in first
        }
        let secret = SecretsSpecifier<String, String>.specific(Set(Setting.all.filter(\.isSecret).map(\.variable)))
        reader = ConfigReader(
            providers: [
                EnvironmentVariablesProvider(environmentVariables: flagVariables, secretsSpecifier: secret),
                EnvironmentVariablesProvider(environmentVariables: environment.filter { known.contains($0.key) }, secretsSpecifier: secret),
                EnvironmentVariablesProvider(environmentVariables: written, secretsSpecifier: secret),
            ]
        ).scoped(to: "kababeat")
        try check()
    }

    /// What the test scripts tell each other by environment.
    private static func isOfScripts(_ name: String) -> Bool {
        name.hasPrefix("KABABEAT_TEST_") || name == "KABABEAT_BINARY" || name == CrashPoint.variable
    }

    /// The value in force as text.
    public func text(_ key: String) -> String {
        let setting = Setting.all.first { $0.key == key }
        return reader.string(forKey: ConfigKey(key), isSecret: setting?.isSecret ?? false, default: setting?.fallback ?? "")
    }

    /// Every setting with what is in force; a secret shows only whether it is set.
    public var listing: [(setting: Setting, value: String)] {
        Setting.all.map { setting in
            let value = text(setting.key)
            return (setting, setting.isSecret ? (value.isEmpty ? "" : "<redacted>") : value)
        }
    }

    private static func read(_ path: String) throws(SettingsError) -> [String: String] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { throw .unreadableFile(path: path) }
        var values: [String: String] = [:]
        for line in text.split(separator: "\n") where !line.allSatisfy(\.isWhitespace) && line.first != "#" {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { throw .unreadableFile(path: path) }
            values[parts[0].trimmingCharacters(in: .whitespaces)] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        return values
    }

    // MARK: Typed

    func integer(_ key: String, in range: ClosedRange<Int>) throws(SettingsError) -> Int {
        guard let value = Int(text(key)), range.contains(value) else {
            throw .malformed(name: Self.variable(key), expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    static func variable(_ key: String) -> String { Setting.all.first { $0.key == key }?.variable ?? key }

    private func check() throws(SettingsError) {
        guard ["production", "development"].contains(text("environment")) else {
            throw .malformed(name: Self.variable("environment"), expected: "production or development")
        }
        _ = try port("http.port")
        _ = try edgeLimits()
        _ = try edgeTrust()
        _ = try postgresServers()
        _ = try integer("postgres.connections", in: 1...256)
        _ = try integer("mongo.threads", in: 1...64)
        _ = try port("redis.port")
        _ = try integer("outbox.lease.seconds", in: 1...600)
        _ = try integer("verify.minutes", in: 0...10_080)
        _ = try integer("cache.megabytes", in: 1...65_536)
        _ = try integer("token.seconds", in: 60...3600)
        _ = try integer("session.days", in: 1...3650)
        _ = try integer("session.idle.days", in: 1...3650)
        // OWASP ASVS 5.0, appendix C: nothing below 10 outside of tests.
        _ = try integer("password.cost", in: (isDevelopment ? 4 : 10)...15)
        _ = try integer("password.threads", in: 1...16)
        _ = try integer("password.waiting", in: 1...1024)
        for key in ["token.issuer", "token.audience"] where text(key).isEmpty {
            throw .malformed(name: Self.variable(key), expected: "a name or a URL")
        }
        for key in ["redis.enabled", "limits.enabled", "admin.second.factor"] where !["true", "false"].contains(text(key)) {
            throw .malformed(name: Self.variable(key), expected: "true or false")
        }
        _ = try limitRules()
        _ = try mailServer()
        try checkSite()
        guard Logger.Level(rawValue: text("log.level")) != nil else {
            throw .malformed(
                name: Self.variable("log.level"), expected: "one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        guard text("mongo.uri").hasPrefix("mongodb://") || text("mongo.uri").hasPrefix("mongodb+srv://") else {
            throw .malformed(
                name: Self.variable("mongo.uri"), expected: "a MongoDB connection string: mongodb://host:port/?replicaSet=name")
        }
    }

    func port(_ key: String) throws(SettingsError) -> Int { try integer(key, in: 1...65_535) }

    // `init` has checked every value, so the fallbacks below are never taken.
    func checked(_ key: String) -> Int { Int(text(key)) ?? 0 }

    var isDevelopment: Bool { text("environment") == "development" }

    /// What stored secrets are sealed with; nil where there is none, and development goes on without.
    func identitySecret() throws(SettingsError) -> IdentitySecret? {
        if text("identity.secret").isEmpty, isDevelopment { return nil }
        guard let secret = IdentitySecret(text("identity.secret")) else {
            throw .malformed(
                name: Self.variable("identity.secret"), expected: "a secret of 32 bytes or more; `openssl rand -hex 32` makes one")
        }
        return secret
    }

    var tokens: AccessTokens.Configuration {
        .init(issuer: text("token.issuer"), audience: text("token.audience"), lifetime: Int64(checked("token.seconds")))
    }

    func passwordHasher() throws(ThreadRefusal) -> PasswordHasher {
        try PasswordHasher(
            cost: checked("password.cost"), threads: checked("password.threads"), waiting: checked("password.waiting"))
    }

    var httpHost: String { text("http.host") }
    var httpPort: Int { checked("http.port") }
    var cacheBytes: Int { checked("cache.megabytes") << 20 }
    var logLevel: Logger.Level { Logger.Level(rawValue: text("log.level")) ?? .notice }

    static let limitKeys: [(key: String, rateClass: RateClass)] = [
        ("limits.read", .read), ("limits.search", .search), ("limits.write", .write), ("limits.signin", .signIn),
        ("limits.registration", .registration), ("limits.recovery", .recovery),
    ]

    func limitRules() throws(SettingsError) -> LimitRules {
        var rules = LimitRules()
        rules.isEnabled = text("limits.enabled") == "true"
        for (key, rateClass) in Self.limitKeys where !rules.read(rateClass, text(key)) {
            throw .malformed(
                name: Self.variable(key),
                expected: "requests/seconds, such as 600/60, for all kinds of subject or by name as in address=600/60"
            )
        }
        for part in text("limits.exempt").split(separator: " ") {
            guard let block = AddressBlock(part) else {
                throw .malformed(
                    name: Self.variable("limits.exempt"), expected: "addresses and ranges such as 10.0.0.0/8, with blanks between")
            }
            rules.exempt.append(block)
        }
        return rules
    }

    /// The outbox without its mails and standings.
    var copiesLane: OutboxLane { .copies.leased(for: .seconds(checked("outbox.lease.seconds"))) }
    var standingsLane: OutboxLane { .standings.leased(for: .seconds(checked("outbox.lease.seconds"))) }

    /// The gateway's own role, or the owner's for migrations.
    func postgres(asOwner: Bool = false, connections: Int? = nil) -> PostgresConfiguration {
        var servers = (try? postgresServers()) ?? []
        let first = servers.isEmpty ? nil : servers.removeFirst()
        var configuration = PostgresConfiguration(
            host: first?.host ?? "", port: first?.port ?? 0, user: text(asOwner ? "postgres.owner" : "postgres.user"),
            password: text(asOwner ? "postgres.owner.password" : "postgres.password"), database: text("postgres.database"),
            connections: connections ?? checked("postgres.connections"))
        configuration.standbys = servers
        return configuration
    }

    /// The addresses, each with its port.
    private func postgresServers() throws(SettingsError) -> [PostgresConfiguration.Server] {
        let hosts = text("postgres.host").split(separator: ",", omittingEmptySubsequences: false).map(Self.trimmed)
        let ports = text("postgres.port").split(separator: ",", omittingEmptySubsequences: false).map(Self.trimmed)
        guard !hosts.contains("") else {
            throw .malformed(name: Self.variable("postgres.host"), expected: "an address, or several with commas between")
        }
        let numbers = ports.compactMap(Int.init).filter { (1...65_535).contains($0) }
        guard numbers.count == ports.count, numbers.count == 1 || numbers.count == hosts.count else {
            throw .malformed(
                name: Self.variable("postgres.port"),
                expected: "a whole number from 1 to 65535, or as many with commas between as there are addresses")
        }
        return hosts.indices.map { PostgresConfiguration.Server(host: hosts[$0], port: numbers.count == 1 ? numbers[0] : numbers[$0]) }
    }

    private static func trimmed(_ part: Substring) -> String { part.trimmingCharacters(in: .whitespaces) }

    /// Making an index on a large collection takes its time; nothing that serves may.
    func mongo(asOwner: Bool = false) -> MongoConfiguration {
        var configuration = MongoConfiguration(uri: text("mongo.uri"), database: text("mongo.database"))
        if asOwner { configuration.socketTimeout = .seconds(600) }
        configuration.threads = checked("mongo.threads")
        return configuration
    }

    func redis() -> RedisConfiguration? {
        guard text("redis.enabled") == "true" else { return nil }
        let password = text("redis.password")
        return RedisConfiguration(host: text("redis.host"), port: checked("redis.port"), password: password.isEmpty ? nil : password)
    }
}
