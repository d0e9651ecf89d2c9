import CMongoC

/// What a job may do on its worker thread. Lent to the job's body; it never leaves it.
///
/// Every operation stops with `.timeout` once the job's deadline has passed and with `.cancelled` once its caller has gone,
/// and carries a server-side time limit that ends no later than the deadline.
public struct MongoSession: ~Copyable {
    let worker: Worker
    private let job: Job

    /// The driver's session while a transaction runs.
    let transaction: OpaquePointer?

    /// Whether writes are acknowledged by the primary alone, because ``settle(_:)`` waits for the others.
    private let isUnsettled: Bool

    init(worker: Worker, job: Job) {
        self.worker = worker
        self.job = job
        transaction = nil
        isUnsettled = false
    }

    /// The same job within a transaction.
    init(of session: borrowing MongoSession, in transaction: OpaquePointer) {
        worker = session.worker
        job = session.job
        self.transaction = transaction
        isUnsettled = false
    }

    /// The same job, its writes settled one by one or together.
    init(of session: borrowing MongoSession, isUnsettled: Bool) {
        worker = session.worker
        job = session.job
        transaction = session.transaction
        self.isUnsettled = isUnsettled
    }

    /// When the job's caller gives up.
    public var deadline: ContinuousClock.Instant { job.deadline }

    /// The database that operations use unless they name another.
    public var database: String { worker.database }

    /// Throws if the job should not go on. Operations do this by themselves.
    /// - Throws: `.timeout`, `.cancelled`.
    public borrowing func checkDeadline() throws(MongoError) {
        _ = try timeLeft()
    }

    private borrowing func timeLeft() throws(MongoError) -> Duration {
        let left = ContinuousClock.now.duration(to: job.deadline)
        guard left > .zero else { throw MongoError(.timeout) }
        guard !job.isAnswered else { throw MongoError(.cancelled) }
        return left
    }

    /// The server-side limit for an operation begun now: the deadline, or `limit` if that is sooner.
    borrowing func timeLimit(_ limit: Duration? = nil) throws(MongoError) -> BSONValue {
        let left = try timeLeft()
        return .int64(max(1, min(left, limit ?? left, .seconds(86_400)).milliseconds))
    }

    /// Options of a write. Without a `concern` it has the client's, or that of what is settled together.
    borrowing func writeOptions(_ document: BSONDocument = [:], concern: BSONDocument? = nil) throws(MongoError) -> BSONHandle {
        var document = document
        if let concern {
            document.append("writeConcern", .document(concern))
        } else if isUnsettled {
            document.append("writeConcern", ["w": .int32(1)])
        }
        return try options(document)
    }

    /// Options as the driver wants them, with the transaction's session in them.
    borrowing func options(_ document: BSONDocument) throws(MongoError) -> BSONHandle {
        let options = try BSONHandle(copying: document)
        if let transaction {
            var error = bson_error_t()
            guard options.withPointer({ mongoc_client_session_append(transaction, $0, &error) }) else { throw MongoError(error) }
        }
        return options
    }
}

/// An index to use, by its name or its keys.
public enum MongoHint: Sendable, ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
    case name(String)
    case keys(BSONDocument)

    public init(stringLiteral value: String) { self = .name(value) }
    public init(dictionaryLiteral elements: (String, BSONValue)...) { self = .keys(BSONDocument(elements)) }

    var value: BSONValue {
        switch self {
        case .name(let name): .string(name)
        case .keys(let keys): .document(keys)
        }
    }
}

/// How durable what a read sees must be.
public enum MongoReadConcern: String, Sendable {
    case local, available, majority, linearizable, snapshot

    var value: BSONValue { ["level": .string(rawValue)] }
}
