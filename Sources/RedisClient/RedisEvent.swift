/// What happened to the client's connections, for the log and the metrics. Handlers run on the reactor's thread and must not block.
/// `connection` is the number of a command connection, nil for a subscription's.
public enum RedisEvent: Sendable {
    /// A connection is ready for use.
    case opened(connection: Int?, after: Duration)
    /// A connection could not be made.
    case openFailed(connection: Int?, RedisError)
    /// An open connection was lost; what was on its way fails.
    case lost(connection: Int?, RedisError)
    /// The server stopped answering: calls fail at once until a probe is answered.
    case breakerOpened(connection: Int)
    case breakerClosed(connection: Int)
    /// A subscription's listener did not keep up; it was told of a gap.
    case overflowed
}

/// How the client stands at one moment.
public struct RedisState: Sendable, Hashable {
    /// Command connections that are open.
    public let connections: Int
    /// Commands that were taken and not yet answered by the server.
    public let inFlight: Int
    /// True when every connection's breaker is open.
    public let isBreakerOpen: Bool

    /// True when a command would be sent.
    public var isConnected: Bool { connections > 0 && !isBreakerOpen }
}
