import Contract
import RateLimits

/// One thing that can be set: by flag over environment over file.
public struct Setting: Sendable {
    /// `postgres.host`; as an environment variable `KABABEAT_POSTGRES_HOST`.
    public let key: String
    public let fallback: String
    public let isSecret: Bool
    public let help: String

    init(_ key: String, _ fallback: String, secret isSecret: Bool = false, _ help: String) {
        self.key = key
        self.fallback = fallback
        self.isSecret = isSecret
        self.help = help
    }

    public var variable: String {
        "KABABEAT_" + key.uppercased().replacing(".", with: "_")
    }

    /// Everything that can be set, in the order that `kababeat config` prints it. The defaults are what `scripts/up` starts.
    public static let all = [
        Setting("environment", "production", "production, or development: works without a secret, and warns of what is unsafe."),
        Setting("http.host", "127.0.0.1", "Address to listen on."),
        Setting("http.port", "8080", "Port to listen on."),
        Setting("http.connections", "16384", "Open connections at most."),
        Setting("http.connections.address", "4096", "Open connections of one address at most; proxies are not counted."),
        Setting("http.idle.seconds", "30", "Time that a connection may say nothing, send its header, or leave an answer unread."),
        Setting("http.total.seconds", "30", "Time that a request may take from its header to the last byte of its answer."),
        Setting("http.requests", "1024", "Requests in work at most; more are answered 503 at once."),
        Setting("http.proxies", "", "Addresses or ranges of proxies whose X-Forwarded-For is believed, with blanks between."),
        Setting("http.hosts", "", "Names that Host may have, with blanks between; empty for any."),
        Setting("http.origins", "", "Other sites whose pages may call the API: https://app.example.com, with blanks between."),
        Setting("metrics.from", "127.0.0.0/8 ::1", "Addresses or ranges that may read /metrics, with blanks between."),
        Setting("tls.certificate", "", "File with the certificate chain in PEM; empty for no TLS."),
        Setting("tls.key", "", "File with the certificate's private key in PEM."),
        Setting("postgres.host", "127.0.0.1", "Address of PostgreSQL, or several with commas between: the primary among them is used."),
        Setting("postgres.port", "15432", "Port of PostgreSQL: one for all addresses, or one for each with commas between."),
        Setting("postgres.database", "kababeat", "Database in PostgreSQL."),
        Setting("postgres.user", "kababeat_gateway", "Role of the gateway: owns nothing, bound by row security."),
        Setting("postgres.password", "", secret: true, "Password of that role."),
        Setting("postgres.owner", "kababeat_owner", "Role that migrates."),
        Setting("postgres.owner.password", "", secret: true, "Password of that role."),
        Setting("postgres.connections", "4", "Connections to PostgreSQL."),
        Setting("mongo.uri", "mongodb://127.0.0.1:17017/?replicaSet=rs0", secret: true, "Where MongoDB is; may hold a password."),
        Setting("mongo.database", "kababeat", "Database in MongoDB."),
        Setting("mongo.threads", "2", "Threads, and connections, to MongoDB."),
        Setting("redis.enabled", "true", "Whether there is a Redis; without it everything answers, slower."),
        Setting("redis.host", "127.0.0.1", "Address of Redis."),
        Setting("redis.port", "16379", "Port of Redis."),
        Setting("redis.password", "", secret: true, "Password of Redis; empty for none."),
        Setting(
            "identity.secret", "", secret: true,
            "What stored secrets are sealed with: 32 bytes or more, the same for all instances. Without the old one they are lost."),
        Setting(
            "site.url", "http://127.0.0.1:8080",
            "Where the web client is: links in mails lead to its pages. http or https; with mails in production not loopback."),
        Setting(
            "identity.issuers.file", "", "JSON file of trusted issuers and OpenID providers (docs/identity.md); empty for none."),
        Setting("api.url", "", "Where browsers find this gateway, for providers to send them back to; empty for site.url."),
        Setting("token.issuer", "kababeat", "Who signs access tokens: their iss."),
        Setting("token.audience", "kababeat", "For whom access tokens are: their aud."),
        Setting("token.seconds", "600", "Seconds that an access token is good for."),
        Setting("session.days", "90", "Days after which a session ends, whatever is done with it."),
        Setting("session.idle.days", "30", "Days without a refresh after which a session ends."),
        Setting("admin.second.factor", "false", "Whether an admin is one only in a session that has shown a second factor."),
        Setting("password.cost", "12", "bcrypt's cost: each step doubles the time of a login; hashes follow at their next login."),
        Setting("password.threads", "1", "Threads that hash passwords, and give way to all others."),
        Setting("password.waiting", "32", "Hashes that may wait; more are answered 503 at once."),
        Setting("password.common.file", "", "A list of common passwords, one a line, that are refused; scripts/up installs one."),
        Setting("mail.from", "", "Who mails come from, as in KabaBeat <no-reply@example.org>; needed where there is an smtp.host."),
        Setting("smtp.host", "", "Mail server; empty: in development mails are shown in the log, in production they wait."),
        Setting("smtp.port", "587", "Port of the mail server: 587 for starttls, 465 for implicit."),
        Setting("smtp.tls", "starttls", "starttls, implicit or none. Certificates are always verified."),
        Setting("smtp.ca.file", "", "PEM file of certificates to trust in place of the system's."),
        Setting("smtp.user", "", "User at the mail server; empty for none."),
        Setting("smtp.password", "", secret: true, "Password of that user."),
        Setting("limits.enabled", "true", "Whether requests are counted and one too many is answered 429."),
        Setting("limits.exempt", "", "Addresses and ranges, with blanks between, whose reads, searches and writes are not counted."),
        limit("limits.read", .read, "Reads: requests/seconds, or by kind as in address=600/60 account=300/60 key=900/60."),
        limit("limits.search", .search, "Reads past the caches and searches, likewise."),
        limit("limits.write", .write, "Writes, likewise."),
        limit("limits.signin", .signIn, "Tries of a password, token or code, likewise; subject is the account that is tried."),
        limit("limits.registration", .registration, "New accounts, likewise; subject is the e-mail address."),
        limit("limits.recovery", .recovery, "Mails that somebody asks for, likewise; subject is the recipient."),
        Setting(
            "outbox.lease.seconds", "10",
            "Seconds that what a dead gateway was delivering stays out of the others' reach. Under a delivery's time, work is done twice."),
        Setting("verify.minutes", "60", "Minutes after which one of the gateways compares copies with their owners again; 0 for never."),
        Setting("cache.megabytes", "64", "Memory for bodies in this process."),
        Setting("sql.directory", "sql", "Where the SQL migrations are."),
        Setting("mongo.directory", "mongo", "Where the collection definitions are."),
        Setting("openapi.file", "openapi.yaml", "The API's description, served as it stands."),
        Setting("log.level", "notice", "trace, debug, info, notice, warning, error or critical."),
    ]

    private static func limit(_ key: String, _ rateClass: RateClass, _ help: String) -> Setting {
        Setting(key, LimitRules().text(rateClass), help)
    }
}
