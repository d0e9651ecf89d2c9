/// What happened to the client's connections, for the log and the metrics. Handlers run on the reactor's thread and must not block.
public enum PostgresEvent: Sendable {
    /// A connection is ready for use.
    case opened(connection: Int, after: Duration)
    /// A connection could not be made.
    case openFailed(connection: Int, PostgresError)
    /// An open connection was lost; its requests in flight fail.
    case lost(connection: Int, PostgresError)
    /// The server was asked to cancel what a connection is doing, because nobody waits for it any more.
    case cancelRequested(connection: Int)
    /// The server sent a notice. It may quote values: for the operator's log alone.
    case notice(connection: Int, String)
}

/// How the pool stands at one moment.
public struct PostgresPoolState: Sendable, Hashable {
    /// Connections that are ready or in use.
    public let open: Int
    /// Connections with a query in flight or lent out exclusively.
    public let busy: Int
    /// Requests that wait for a connection.
    public let waiting: Int
}
