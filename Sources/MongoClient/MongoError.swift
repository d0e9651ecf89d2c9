/// What went wrong in MongoDB, in the driver, or on the way.
///
/// `description` is safe to show anyone: it holds no value, no server text, no address. `debugDescription` holds
/// what the driver said and belongs in a log.
public struct MongoError: Error, Sendable {
    /// Why, in terms of what a caller can do about it.
    public enum Code: Sendable, Hashable {
        /// No server could be selected, the connection broke, or the server is no primary now. The effect of a write is unknown.
        case unavailable
        /// The deadline passed, or the server gave up at its time limit. The effect of a write is unknown.
        case timeout
        /// The calling task was cancelled. The effect of a write that had begun is unknown.
        case cancelled
        /// Too many jobs wait; nothing was begun.
        case queueFull
        /// A unique index has this key already (11000).
        case duplicateKey
        /// The collection's validator refused the document (121).
        case validation
        /// Any other answer of the server.
        case server(code: Int32)
        /// Bytes or a value that cannot be read as what was asked for.
        case decoding
        /// A document that cannot, or must not, be sent.
        case encoding
        /// The driver refused the call before it reached a server.
        case refused
        /// The connection string or a setting is unusable.
        case invalidConfiguration
        /// The client is shut down; nothing was begun.
        case shutdown
        /// The job's own code threw; see ``MongoError/underlying``.
        case body
    }

    /// Labels the server or the driver put on an error.
    public struct Labels: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The whole transaction may be tried again.
        public static let transientTransaction = Labels(rawValue: 1)
        /// The commit may be tried again: whether it happened is unknown.
        public static let unknownCommitResult = Labels(rawValue: 2)
        /// The write may be tried again; the driver did so once.
        public static let retryableWrite = Labels(rawValue: 4)
    }

    public let code: Code
    public let labels: Labels

    /// What a job's own code threw, when `code` is `.body`.
    public let underlying: (any Error)?

    private let detail: String

    init(_ code: Code, labels: Labels = [], underlying: (any Error)? = nil, detail: String = "") {
        self.code = code
        self.labels = labels
        self.underlying = underlying
        self.detail = detail
    }

    /// Whether the store could not be reached in time, so that the same call may succeed later.
    public var isUnavailable: Bool {
        switch code {
        case .unavailable, .timeout, .queueFull, .shutdown: true
        default: false
        }
    }

    /// `error` itself when it is a `MongoError`, else one that carries it.
    init(wrapping error: any Error) {
        if let error = error as? MongoError {
            self = error
        } else {
            self.init(.body, underlying: error, detail: String(reflecting: error))
        }
    }
}

extension MongoError: CustomStringConvertible, CustomDebugStringConvertible {
    public var description: String {
        switch code {
        case .unavailable: "MongoDB is unavailable"
        case .timeout: "MongoDB did not answer in time"
        case .cancelled: "the MongoDB job was cancelled"
        case .queueFull: "too many MongoDB jobs are waiting"
        case .duplicateKey: "a document with this key exists already"
        case .validation: "the document breaks its collection's rules"
        case .server(let code): "MongoDB answered with error \(code)"
        case .decoding: "a MongoDB document could not be read"
        case .encoding: "the document cannot be sent to MongoDB"
        case .refused: "the MongoDB driver refused the call"
        case .invalidConfiguration: "the MongoDB settings are unusable"
        case .shutdown: "the MongoDB client is shut down"
        case .body: "a MongoDB job failed"
        }
    }

    public var debugDescription: String { detail.isEmpty ? "\(code)" : "\(code): \(detail)" }
}
