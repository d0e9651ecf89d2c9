/// Why a request failed. `description` is fit for any log or client; `debugDescription` also holds what the server said and the
/// SQL, and is for the operator's log alone.
public struct PostgresError: Error, Sendable {
    /// Why, in terms of what a caller can do about it.
    public enum Code: Sendable, Hashable {
        /// No connection, or it was lost. A statement in flight outside a transaction may have been carried out.
        case connection
        /// The deadline passed. A statement that had been sent is cancelled, and may have been carried out.
        case timeout
        /// The calling task was cancelled; what holds for `timeout` holds here.
        case cancelled
        /// Too many requests are waiting; nothing was sent.
        case queueFull
        /// The server's own answer.
        case server(sqlState: String)
        /// A value could not be read as what the caller asked for, or a parameter cannot be sent.
        case decoding
        /// The server or libpq did what the client does not expect, for example an answer to `COPY`.
        case protocolViolation
        /// The connection was lost, or the deadline passed, between sending COMMIT and its answer.
        case commitUnknown
        /// The client is shutting down; nothing was sent.
        case shutdown
    }

    /// Which step of a call failed.
    public enum Stage: String, Sendable, Hashable {
        case query, begin, commit, script
    }

    public let code: Code
    public internal(set) var stage: Stage
    private let details: Details?

    private final class Details: Sendable {
        let message: String
        let constraint: String?
        let hint: String?
        let sql: String?

        init(_ message: String, constraint: String?, hint: String?, sql: String?) {
            (self.message, self.constraint, self.hint, self.sql) = (message, constraint, hint, sql)
        }
    }

    init(
        _ code: Code, _ message: String? = nil, stage: Stage = .query, constraint: String? = nil, hint: String? = nil, sql: String? = nil
    ) {
        self.code = code
        self.stage = stage
        details = message.map { Details($0, constraint: constraint, hint: hint, sql: sql) }
    }

    /// The same error, saying which SQL it belongs to.
    func about(_ sql: String) -> PostgresError {
        PostgresError(
            code, details?.message ?? "no detail", stage: stage, constraint: details?.constraint, hint: details?.hint,
            sql: details?.sql ?? sql)
    }

    /// The violated constraint's name, where the server named one.
    public var constraint: String? { details?.constraint }

    /// The server's five-character code, where the server answered.
    public var sqlState: String? {
        guard case .server(let sqlState) = code else { return nil }
        return sqlState
    }

    /// True when nothing was carried out and the same call may succeed soon: a serialization failure or deadlock, a lock not to be
    /// had, too many connections, a server starting up, one that takes no writes, a full queue. Repeat the whole transaction.
    public var isRetriable: Bool {
        switch code {
        case .queueFull: true
        case .server(let sqlState): ["40001", "40P01", "55P03", "53300", "57P03"].contains(sqlState) || isOfStandby
        default: false
        }
    }

    /// True when the store could not answer, as opposed to having refused what it was asked.
    public var isUnavailable: Bool {
        switch code {
        case .connection, .timeout, .queueFull, .shutdown, .commitUnknown: true
        case .server(let sqlState): sqlState.hasPrefix("08") || sqlState.hasPrefix("53") || sqlState.hasPrefix("57P") || isOfStandby
        case .cancelled, .decoding, .protocolViolation: false
        }
    }

    /// True where the server takes no writes: it is a standby, or has been set so (25006, read_only_sql_transaction).
    var isOfStandby: Bool { sqlState == "25006" }
}

extension PostgresError: CustomStringConvertible, CustomDebugStringConvertible {
    public var description: String {
        switch code {
        case .connection: "postgres: no connection (\(stage))"
        case .timeout: "postgres: deadline passed (\(stage))"
        case .cancelled: "postgres: cancelled (\(stage))"
        case .queueFull: "postgres: too many requests are waiting"
        case .server(let sqlState): "postgres: error \(sqlState) (\(stage))"
        case .decoding: "postgres: a value does not fit its type"
        case .protocolViolation: "postgres: unexpected answer (\(stage))"
        case .commitUnknown: "postgres: it is not known whether the transaction was committed"
        case .shutdown: "postgres: the client is shutting down"
        }
    }

    public var debugDescription: String {
        var text = description
        guard let details else { return text }
        text += ": \(details.message)"
        if let constraint = details.constraint { text += " [constraint \(constraint)]" }
        if let hint = details.hint { text += " [hint: \(hint)]" }
        if let sql = details.sql { text += " [SQL: \(sql)]" }
        return text
    }
}
