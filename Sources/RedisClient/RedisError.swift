/// Why a call failed. `description` is fit for any log or client; `debugDescription` also holds what the server or the system said,
/// which may quote keys and values, and is for the operator's log alone.
public struct RedisError: Error, Sendable {
    /// Why, in terms of what a caller can do about it.
    public enum Code: Sendable, Hashable {
        /// No connection, or it was lost. A command that was on its way may have been carried out.
        case connection
        /// The deadline passed. A command that had been sent may have been or may yet be carried out.
        case timeout
        /// The calling task was cancelled; what holds for `timeout` holds here.
        case cancelled
        /// Too many commands are on their way; nothing was sent.
        case queueFull
        /// The server's own answer; the first word of it, such as `WRONGTYPE`, `OOM`, `LOADING`, `READONLY`, `MISCONF` or `ERR`.
        case server(prefix: String)
        /// The server's bytes are no reply, or a reply over the limit. The connection was dropped.
        case protocolViolation
        /// The server stopped answering a moment ago; nothing was sent.
        case breakerOpen
        /// The client is shutting down; nothing was sent.
        case shutdown
    }

    public let code: Code
    /// Boxed, so that an error stays small where it is passed around.
    private let detail: Detail?

    private final class Detail: Sendable {
        let message: String
        init(_ message: String) { self.message = message }
    }

    init(_ code: Code, _ message: String? = nil) {
        self.code = code
        detail = message.map(Detail.init)
    }

    /// An error reply.
    init(reply: String) {
        self.init(.server(prefix: String(reply.prefix { $0 != " " })), reply)
    }

    /// True when Redis could not answer, as opposed to having refused what it was asked.
    public var isUnavailable: Bool {
        switch code {
        case .connection, .timeout, .queueFull, .breakerOpen, .shutdown: true
        case .server(let prefix):
            ["LOADING", "BUSY", "OOM", "READONLY", "MISCONF", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"].contains(prefix)
        case .cancelled, .protocolViolation: false
        }
    }
}

extension RedisError: CustomStringConvertible, CustomDebugStringConvertible {
    public var description: String {
        switch code {
        case .connection: "redis: no connection"
        case .timeout: "redis: deadline passed"
        case .cancelled: "redis: cancelled"
        case .queueFull: "redis: too many commands are on their way"
        case .server(let prefix): "redis: error \(prefix)"
        case .protocolViolation: "redis: unexpected answer"
        case .breakerOpen: "redis: not answering"
        case .shutdown: "redis: the client is shutting down"
        }
    }

    public var debugDescription: String { detail.map { "\(description): \($0.message)" } ?? description }
}
