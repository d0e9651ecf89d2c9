import Synchronization

/// Something a caller waits for. It ends exactly once.
///
/// Unchecked: everything but `isCancelled` is set before the request is handed to the reactor, and touched on its thread from then
/// on; the caller reads the outcome from its continuation.
class Request: @unchecked Sendable {
    /// What the server is asked.
    enum Kind {
        /// A prepared statement.
        case query
        /// Ends a transaction; sent as it is, never cancelled.
        case commit, rollback
        /// Statements in a row, outside the pipeline.
        case script
        /// Nothing yet: a connection for the caller alone.
        case lease
    }

    let kind: Kind
    let sql: String
    let parameters: [PostgresValue]
    let settings: PostgresSettings?
    let deadline: ContinuousClock.Instant
    /// Set by the cancelled task, maybe before the request has arrived at the reactor.
    let isCancelled = Atomic<Bool>(false)
    /// Set on arrival at the reactor. A cancellation that comes before has nothing to end yet; `isCancelled` tells of it.
    final var hasArrived = false
    /// True once the caller has its outcome; what is still in flight then is nobody's.
    private(set) final var isFinished = false
    /// A request whose plan was out of date is sent again once at most.
    final var wasPreparedAgain = false

    init(
        _ kind: Kind, _ sql: String, _ parameters: [PostgresValue] = [], settings: PostgresSettings? = nil,
        deadline: ContinuousClock.Instant
    ) {
        self.kind = kind
        self.sql = sql
        self.parameters = parameters
        self.settings = settings
        self.deadline = deadline
    }

    /// Whether it commits by itself what it may change. Nobody knows then whether the server is at the statement or at its COMMIT, and a
    /// COMMIT that is cancelled while it waits for a standby is visible here without being there.
    final var mayBeCommitting: Bool {
        ["INSERT", "UPDATE", "DELETE"].contains { sql.contains($0) }
    }

    /// Takes one answer of the server.
    func receive(_ result: borrowing PostgresResult) throws(PostgresError) {}

    /// Hands the caller its outcome: what has been received, or the error.
    func resume(_ error: PostgresError?) {}

    final func finish(_ error: PostgresError?) {
        guard !isFinished else { return }
        isFinished = true
        resume(error)
    }

    /// What the caller is told when it waits no longer, or the connection is gone. `wasSent` makes the outcome of a COMMIT unknown.
    final func giveUp(_ code: PostgresError.Code, _ message: String? = nil, wasSent: Bool) {
        let isUnknown = kind == .commit && wasSent
        let stage: PostgresError.Stage = kind == .commit ? .commit : kind == .script ? .script : .query
        finish(PostgresError(isUnknown ? .commitUnknown : code, message, stage: stage))
    }
}

/// A statement with its decoded rows.
final class Query<Row: Sendable>: Request, @unchecked Sendable {
    // Unchecked for the reason given at `Request`.
    struct Answer: Sendable {
        var rows: [Row] = []
        var affectedRows = 0
        var tag = ""
    }

    typealias Outcome = Result<Answer, PostgresError>

    private let decode: @Sendable (borrowing PostgresRow) throws(PostgresError) -> Row
    private var answer = Answer()
    var continuation: UnsafeContinuation<Outcome, Never>?

    init(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue] = [], kind: Kind = .query,
        settings: PostgresSettings? = nil, deadline: ContinuousClock.Instant
    ) {
        decode = statement.decode
        let settings = settings.flatMap { $0.isEmpty ? nil : $0 }
        super.init(kind, statement.sql, parameters, settings: settings, deadline: deadline)
    }

    override func receive(_ result: borrowing PostgresResult) throws(PostgresError) {
        if Row.self == Void.self {
            answer.affectedRows = result.affectedRows
            if kind == .commit { answer.tag = result.tag }
        } else {
            try result.decode(into: &answer.rows, decode)
        }
    }

    override func resume(_ error: PostgresError?) {
        guard let continuation = continuation.take() else { return }
        if let error {
            continuation.resume(returning: .failure(error))
        } else {
            continuation.resume(returning: .success(answer))
        }
    }
}

/// A wait for an exclusive connection.
final class LeaseRequest: Request, @unchecked Sendable {
    // Unchecked for the reason given at `Request`.
    let lease: Lease
    var continuation: UnsafeContinuation<Result<Void, PostgresError>, Never>?

    init(_ lease: Lease, deadline: ContinuousClock.Instant) {
        self.lease = lease
        super.init(.lease, "", deadline: deadline)
    }

    override func resume(_ error: PostgresError?) {
        continuation.take()?.resume(returning: error.map { .failure($0) } ?? .success(()))
    }
}

/// A connection lent to one caller. Unchecked: touched on the reactor's thread alone, once it is lent.
final class Lease: @unchecked Sendable {
    /// `BEGIN ...`, still to be sent in front of the first query; nil for a session, and after that.
    var begin: String?
    /// Settings that travel with BEGIN.
    let settings: PostgresSettings?
    /// Nil before it is lent, and once the connection is lost.
    var connection: Connection?
    /// Requests that must not be sent yet: BEGIN has not been confirmed, a script runs, or a cancellation is on its way.
    var waiting = Queue<Request>()
    /// Set while a request is in flight that others must not follow.
    var isGated = false
    /// Why BEGIN failed; nothing more is sent then.
    var failure: PostgresError?
    /// The caller is done; the connection goes back once it has answered everything.
    var isEnded = false
    /// The connection is replaced at the end, because a session leaves more behind than can be undone.
    let isDisposable: Bool

    init(begin: String?, settings: PostgresSettings?) {
        self.begin = begin
        self.settings = settings.flatMap { $0.isEmpty ? nil : $0 }
        isDisposable = begin == nil
    }
}
