/// Where the server is, who logs in, and every bound the client keeps.
public struct PostgresConfiguration: Sendable {
    /// One place where the server may be.
    public struct Server: Sendable, Hashable {
        public var host: String
        public var port: Int

        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    /// A literal address, a name, or a directory (starting with `/`) that holds the server's Unix socket. A name is resolved at
    /// each connect on the client's helper thread, because libpq's own resolution would block the reactor.
    public var host: String
    public var port: Int
    /// Where else the primary may be: standbys that may take over. They are tried in turn, and one that is a standby is passed over.
    public var standbys: [Server] = []
    public var user: String
    public var password: String
    public var database: String
    /// What `pg_stat_activity` shows.
    public var applicationName: String
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`, as libpq has them.
    public var sslMode: String
    /// Server settings given at connect, as `-c name=value` arguments.
    public var serverOptions: String

    /// How many connections are kept open.
    public var connections: Int
    /// How many of them may be lent out exclusively at once, so that slow transactions never keep every read waiting.
    public var exclusiveLimit: Int
    /// How many one-shot queries may be in flight on one connection.
    public var pipelineDepth: Int
    /// How many requests may wait for a connection; one more is answered `queueFull` at once.
    public var queueLimit: Int
    /// How many prepared statements one connection keeps; the least recently used one goes.
    public var statementLimit: Int

    /// Bound on one attempt to connect and log in.
    public var connectTimeout: Duration
    /// The shortest and the longest wait before the next attempt to connect; doubled each time, then jittered.
    public var reconnectDelay: ClosedRange<Duration>
    /// A connection whose oldest query nobody waits for any more, and which gave no byte for this long, is dropped and reopened.
    public var stallTimeout: Duration
    /// How long a query that nobody waits for any more may run on before the server is asked to cancel it.
    public var cancelDelay: Duration
    /// How long `shutdown` lets requests in flight finish.
    public var shutdownGrace: Duration
    /// TCP keep-alive: idle time before the first probe, time between probes, probes until the connection is given up.
    public var keepaliveIdle: Duration
    public var keepaliveInterval: Duration
    public var keepaliveCount: Int
    /// How long sent bytes may stay unacknowledged before the system gives the connection up.
    public var unacknowledgedTimeout: Duration

    public init(
        host: String, port: Int, user: String, password: String, database: String, applicationName: String = "kababeat",
        connections: Int = 4, exclusiveLimit: Int? = nil, pipelineDepth: Int = 32, queueLimit: Int = 1024, statementLimit: Int = 256,
        sslMode: String = "prefer", serverOptions: String = "-c TimeZone=UTC", connectTimeout: Duration = .seconds(5),
        reconnectDelay: ClosedRange<Duration> = .milliseconds(50)...(.seconds(2)), stallTimeout: Duration = .seconds(5),
        cancelDelay: Duration = .milliseconds(20), shutdownGrace: Duration = .seconds(10), keepaliveIdle: Duration = .seconds(30),
        keepaliveInterval: Duration = .seconds(5), keepaliveCount: Int = 3, unacknowledgedTimeout: Duration = .seconds(15)
    ) {
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.database = database
        self.applicationName = applicationName
        self.sslMode = sslMode
        self.serverOptions = serverOptions
        self.connections = max(1, connections)
        self.exclusiveLimit = max(1, min(exclusiveLimit ?? connections - 1, connections))
        self.pipelineDepth = max(1, pipelineDepth)
        self.queueLimit = max(0, queueLimit)
        self.statementLimit = max(8, statementLimit)
        self.connectTimeout = connectTimeout
        self.reconnectDelay = reconnectDelay
        self.stallTimeout = stallTimeout
        self.cancelDelay = cancelDelay
        self.shutdownGrace = shutdownGrace
        self.keepaliveIdle = keepaliveIdle
        self.keepaliveInterval = keepaliveInterval
        self.keepaliveCount = keepaliveCount
        self.unacknowledgedTimeout = unacknowledgedTimeout
    }

    /// Reads `host=127.0.0.1 port=5432 user=... password=... dbname=...`, without quoting; the rest are the defaults. Nil where a word
    /// has no `=`, a key is unknown, or the port is no number.
    public init?(connectionString: String) {
        self.init(host: "127.0.0.1", port: 5432, user: "postgres", password: "", database: "postgres")
        for word in connectionString.split(separator: " ") {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { return nil }
            switch parts[0] {
            case "host": host = parts[1]
            case "port":
                guard let number = UInt16(parts[1]) else { return nil }
                port = Int(number)
            case "user": user = parts[1]
            case "password": password = parts[1]
            case "dbname": database = parts[1]
            case "sslmode": sslMode = parts[1]
            default: return nil
            }
        }
    }

    /// Every place where the server may be.
    var servers: [Server] { [Server(host: host, port: port)] + standbys }

    /// One place to connect to.
    struct Endpoint {
        /// What the certificate is checked against; or a directory.
        let host: String
        let port: Int
        /// Empty for a directory.
        let address: String
    }

    /// What libpq is given: it tries the endpoints in their order until one is the primary.
    func parameters(_ endpoints: [Endpoint]) -> [(String, String)] {
        var parameters = [
            ("host", endpoints.map(\.host).joined(separator: ",")), ("port", endpoints.map { String($0.port) }.joined(separator: ",")),
            // A standby's answers are those of a moment ago, and it takes no writes. A server that was set read-only is still asked.
            ("target_session_attrs", "primary"),
            ("user", user), ("password", password), ("dbname", database),
            ("application_name", applicationName), ("client_encoding", "UTF8"), ("options", serverOptions),
            ("sslmode", sslMode),
            // Kerberos libraries do blocking I/O of their own.
            ("gssencmode", "disable"),
            ("keepalives", "1"), ("keepalives_idle", String(keepaliveIdle.components.seconds)),
            ("keepalives_interval", String(keepaliveInterval.components.seconds)), ("keepalives_count", String(keepaliveCount)),
            ("tcp_user_timeout", String(Int(unacknowledgedTimeout / .milliseconds(1)))),
        ]
        if endpoints.contains(where: { !$0.address.isEmpty }) {
            parameters.append(("hostaddr", endpoints.map(\.address).joined(separator: ",")))
        }
        return parameters
    }
}
