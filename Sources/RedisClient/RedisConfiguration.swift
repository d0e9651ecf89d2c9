/// Where the server is, and every bound the client keeps.
public struct RedisConfiguration: Sendable {
    /// A literal address or a name. A name is resolved at each connect on a helper thread, because resolving blocks.
    public var host: String
    public var port: Int
    /// For servers with access control lists; nil is the default user.
    public var username: String?
    public var password: String?
    public var database: Int
    /// What `CLIENT LIST` shows, without spaces; empty for a user who may not say so.
    public var clientName: String

    /// How many connections share the commands.
    public var connections: Int
    /// How many commands may be on their way on one connection; one more is answered `queueFull` at once.
    public var inFlightLimit: Int
    /// How many bytes of commands may be on their way on one connection. A single call may exceed it while nothing else is on its way.
    public var inFlightBytes: Int
    /// The largest reply taken. One that is larger costs the connection.
    public var replyLimit: Int
    /// How many messages, and how many bytes of them, a subscription keeps for a listener that does not keep up.
    public var subscriptionLimit: Int
    public var subscriptionBytes: Int

    /// Bound on one attempt to connect and log in.
    public var connectTimeout: Duration
    /// The shortest and the longest wait before the next attempt to connect; doubled each time, then jittered.
    public var reconnectDelay: ClosedRange<Duration>
    /// A connection that owes replies and gave no byte for this long is dropped and made anew.
    public var stallTimeout: Duration
    /// How often a subscription proves that the server is there. One that stays silent for twice as long is made anew.
    public var subscriptionPing: Duration
    /// How long `shutdown` lets commands on their way finish.
    public var shutdownGrace: Duration
    public var breaker: RedisBreakerPolicy
    /// TCP keep-alive: idle time before the first probe, time between probes, probes until the connection is given up.
    public var keepaliveIdle: Duration
    public var keepaliveInterval: Duration
    public var keepaliveCount: Int
    /// How long sent bytes may stay unacknowledged before the system gives the connection up.
    public var unacknowledgedTimeout: Duration

    public init(
        host: String, port: Int = 6379, username: String? = nil, password: String? = nil, database: Int = 0,
        clientName: String = "kababeat", connections: Int = 1, inFlightLimit: Int = 4096, inFlightBytes: Int = 64 << 20,
        replyLimit: Int = 64 << 20, subscriptionLimit: Int = 1024, subscriptionBytes: Int = 8 << 20,
        connectTimeout: Duration = .seconds(2), reconnectDelay: ClosedRange<Duration> = .milliseconds(50)...(.seconds(2)),
        stallTimeout: Duration = .seconds(5), subscriptionPing: Duration = .seconds(2), shutdownGrace: Duration = .seconds(2),
        breaker: RedisBreakerPolicy = RedisBreakerPolicy(), keepaliveIdle: Duration = .seconds(30),
        keepaliveInterval: Duration = .seconds(5), keepaliveCount: Int = 3, unacknowledgedTimeout: Duration = .seconds(10)
    ) {
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.database = database
        self.clientName = clientName
        self.connections = max(1, connections)
        self.inFlightLimit = max(1, inFlightLimit)
        self.inFlightBytes = max(1, inFlightBytes)
        self.replyLimit = max(1024, replyLimit)
        self.subscriptionLimit = max(2, subscriptionLimit)
        self.subscriptionBytes = max(1, subscriptionBytes)
        self.connectTimeout = connectTimeout
        self.reconnectDelay = reconnectDelay
        self.stallTimeout = stallTimeout
        self.subscriptionPing = subscriptionPing
        self.shutdownGrace = shutdownGrace
        self.breaker = breaker
        self.keepaliveIdle = keepaliveIdle
        self.keepaliveInterval = keepaliveInterval
        self.keepaliveCount = keepaliveCount
        self.unacknowledgedTimeout = unacknowledgedTimeout
    }
}

/// When a connection's circuit breaker opens, and when it asks whether the server is back.
public struct RedisBreakerPolicy: Sendable {
    /// How many calls must fail in a row, by their deadline or with their connection, none answered in between.
    public var failures: Int
    /// The time within which they must fail.
    public var window: Duration
    /// The shortest and the longest wait before a probe; doubled after each that fails, then jittered.
    public var delay: ClosedRange<Duration>
    /// How long a probe may take.
    public var probeTimeout: Duration

    public init(
        failures: Int = 5, window: Duration = .seconds(10), delay: ClosedRange<Duration> = .milliseconds(100)...(.seconds(1)),
        probeTimeout: Duration = .milliseconds(100)
    ) {
        self.failures = max(1, failures)
        self.window = window
        self.delay = delay
        self.probeTimeout = probeTimeout
    }
}
