import CLibPQ
import Glibc
import Synchronization

/// One round trip's worth of the pipeline: what lies between two sync points.
final class Segment {
    enum Content {
        case prepare(PreparedStatement)
        case deallocate
        case request(Request)
    }

    let content: Content
    /// Answers that come before the request's own: those of BEGIN and of the settings.
    let prologue: Int
    let startsTransaction: Bool
    let statements: [PreparedStatement]
    /// Answers received in full.
    var answered = 0
    var error: PostgresError?
    var hasStalePlan = false
    /// It was in flight while a cancellation was on its way, which may hit it, whomever it is meant for. One may even hit twice: the
    /// server signals both the process and its group.
    var isExposed = false

    var wasHitByCancellation: Bool { isExposed && error?.sqlState == "57014" }
    /// Since when the server has been busy with this segment.
    var since: ContinuousClock.Instant?
    var cancellation: Cancellation?

    init(_ content: Content, prologue: Int = 0, startsTransaction: Bool = false, statements: [PreparedStatement] = []) {
        self.content = content
        self.prologue = prologue
        self.startsTransaction = startsTransaction
        self.statements = statements
    }

    var request: Request? {
        guard case .request(let request) = content else { return nil }
        return request
    }
}

/// Owns one libpq connection and what is in flight on it. Used on the reactor's thread only; nothing here blocks.
///
/// Each request is a segment of its own, ended by a sync, so an error never aborts a neighbour. Preparing a statement is a segment
/// too: it must not fail together with the first query.
final class Connection {
    enum Failure: Error {
        /// The request cannot be sent as it is; nothing was.
        case request(PostgresError)
        /// The connection is of no more use.
        case connection
    }

    enum Progress { case wantsRead, wantsWrite, open, failed }

    let slot: Int
    private let pointer: OpaquePointer
    private let notices: Unmanaged<NoticeSink>
    private(set) var segments = Queue<Segment>()
    private var statements: StatementCache
    private var parameters = ParameterBuffer()
    private var settings = ParameterBuffer()
    private(set) var isOpen = false
    /// True during a script, which libpq refuses in a pipeline.
    private(set) var isOutsidePipeline = false
    /// When the server last gave a sign of life.
    var lastByte: ContinuousClock.Instant
    /// The caller that has this connection to itself.
    var lease: Lease?
    /// True from asking the server to cancel until it has done so.
    var isCancelling = false {
        didSet { if isCancelling { segments.forEach { $0.isExposed = true } } }
    }
    /// The server has said that it takes no writes: whatever is in flight ends, nothing new is sent, and another connection takes its
    /// place, to where the primary is by then.
    var isRetired = false
    /// What the reactor watches.
    var watched: (descriptor: Int32, forWrite: Bool)?

    /// Starts to connect; nil only where libpq is out of memory.
    init?(slot: Int, parameters: [(String, String)], statementLimit: Int, onNotice: @escaping @Sendable (String) -> Void) {
        self.slot = slot
        statements = StatementCache(limit: statementLimit)
        lastByte = .now
        var keywords: [UnsafePointer<CChar>?] = parameters.map { UnsafePointer(strdup($0.0)) }
        var values: [UnsafePointer<CChar>?] = parameters.map { UnsafePointer(strdup($0.1)) }
        defer { for text in keywords + values { free(UnsafeMutableRawPointer(mutating: text)) } }
        keywords.append(nil)
        values.append(nil)
        guard let pointer = PQconnectStartParams(keywords, values, 0) else { return nil }
        self.pointer = pointer
        notices = Unmanaged.passRetained(NoticeSink(onNotice))
        PQsetNoticeReceiver(
            pointer,
            { argument, result in
                guard let argument, let message = PQresultErrorMessage(result) else { return }
                Unmanaged<NoticeSink>.fromOpaque(argument).takeUnretainedValue().onNotice(String(cString: message))
            }, notices.toOpaque())
    }

    deinit {
        PQfinish(pointer)
        notices.release()
    }

    private final class NoticeSink {
        let onNotice: @Sendable (String) -> Void
        init(_ onNotice: @escaping @Sendable (String) -> Void) { self.onNotice = onNotice }
    }

    var descriptor: Int32 { PQsocket(pointer) }

    var errorMessage: String { PQerrorMessage(pointer).map { String(cString: $0) } ?? "" }

    var isBroken: Bool { PQstatus(pointer) == CONNECTION_BAD }

    var isIdleOutsideTransaction: Bool { PQtransactionStatus(pointer) == PQTRANS_IDLE }

    // MARK: Connecting

    func start() -> Progress { isBroken ? .failed : .wantsWrite }

    func proceed() -> Progress {
        switch PQconnectPoll(pointer) {
        case PGRES_POLLING_READING: return .wantsRead
        case PGRES_POLLING_WRITING: return .wantsWrite
        case PGRES_POLLING_OK:
            isOpen = PQsetnonblocking(pointer, 1) == 0 && PQenterPipelineMode(pointer) == 1
            return isOpen ? .open : .failed
        default: return .failed
        }
    }

    // MARK: Sending

    /// Queues a request, in front of it what its statements need, and pushes what the socket takes.
    func send(_ request: Request, begin: String? = nil, beginSettings: PostgresSettings? = nil) throws(Failure) {
        if request.kind == .script { return try sendScript(request) }
        let wasIdle = segments.isEmpty
        let settings = beginSettings ?? request.settings
        do {
            try parameters.encode(request.parameters)
            if let settings { try self.settings.encode(settings.parameters) }
        } catch {
            throw .request(error)
        }
        var used: [PreparedStatement] = []
        let settingsStatement: PreparedStatement? =
            if let settings { try prepared(settings.sql, settings.parameters) } else { nil }
        let statement = request.kind == .query ? try prepared(request.sql, request.parameters) : nil
        if let begin { try sendPlain(begin) }
        if let settingsStatement {
            used.append(settingsStatement)
            try check(self.settings.withParameters { Self.execute(pointer, settingsStatement, $0, $1, $2, $3) })
        }
        if let statement {
            used.append(statement)
            try check(parameters.withParameters { Self.execute(pointer, statement, $0, $1, $2, $3) })
        } else {
            try sendPlain(request.sql)
        }
        let prologue = (begin == nil ? 0 : 1) + (settingsStatement == nil ? 0 : 1)
        try sync(Segment(.request(request), prologue: prologue, startsTransaction: begin != nil, statements: used))
        if wasIdle { segments.first?.since = .now }
    }

    private static func execute(
        _ pointer: OpaquePointer, _ statement: PreparedStatement, _ count: Int32, _ values: UnsafePointer<UnsafePointer<CChar>?>,
        _ lengths: UnsafePointer<Int32>, _ formats: UnsafePointer<Int32>
    ) -> Int32 {
        PQsendQueryPrepared(pointer, statement.name, count, values, lengths, formats, 1)
    }

    private func prepared(_ sql: String, _ parameters: [PostgresValue]) throws(Failure) -> PreparedStatement {
        switch statements.lookup(sql, parameters) {
        case .ready(let statement): return statement
        case .missing(let statement, let replaced):
            if let replaced {
                try sendPlain("DEALLOCATE \(replaced.name)")
                try sync(Segment(.deallocate))
            }
            let types = statement.types.map(\.rawValue)
            try check(PQsendPrepare(pointer, statement.name, sql, Int32(types.count), types))
            try sync(Segment(.prepare(statement)))
            return statement
        }
    }

    private func sendPlain(_ sql: String) throws(Failure) {
        try check(PQsendQueryParams(pointer, sql, 0, nil, nil, nil, nil, 1))
    }

    private func sync(_ segment: Segment) throws(Failure) {
        try check(PQpipelineSync(pointer))
        segment.isExposed = isCancelling
        segments.append(segment)
    }

    private func sendScript(_ request: Request) throws(Failure) {
        guard segments.isEmpty else { throw .request(PostgresError(.protocolViolation, "a script needs an idle session")) }
        try check(PQexitPipelineMode(pointer))
        isOutsidePipeline = true
        try check(PQsendQuery(pointer, request.sql))
        let segment = Segment(.request(request))
        segment.since = .now
        segments.append(segment)
    }

    private func check(_ success: Int32) throws(Failure) {
        guard success == 1 else { throw .connection }
    }

    /// While true, the system holds sent bytes back until a packet is full. libpq flushes at every sync, which would wake the server's
    /// process, and be charged for, once per query; so the queries of one turn of the reactor leave together.
    var isGathering = false {
        didSet {
            var cork: Int32 = isGathering ? 1 : 0
            // Fails on a Unix socket, which wakes its reader each time.
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CORK, &cork, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    /// Pushes what waits to be sent. True where the rest must wait for the socket; nil where the connection is lost.
    func flush() -> Bool? {
        switch PQflush(pointer) {
        case 0: false
        case 1: true
        default: nil
        }
    }

    // MARK: Receiving

    /// Takes in what the socket has; false where the connection is lost, though answers that came before may still be read.
    func consume() -> Bool { PQconsumeInput(pointer) == 1 }

    enum Step: ~Copyable {
        /// Not all of the next answer is here, or nothing is in flight.
        case wait
        /// The current statement is answered in full.
        case end
        case result(PostgresResult)
    }

    func next() -> Step {
        guard !segments.isEmpty, PQisBusy(pointer) == 0 else { return .wait }
        guard let result = PQgetResult(pointer) else { return .end }
        return .result(PostgresResult(stealing: result))
    }

    /// Takes the answered segment off the pipeline.
    func complete(at now: ContinuousClock.Instant) -> Segment? {
        guard let segment = segments.popFirst() else { return nil }
        segments.first?.since = now
        segment.cancellation?.isWanted.store(false, ordering: .relaxed)
        if case .prepare(let statement) = segment.content, let error = segment.error {
            // Where it was hit by a cancellation, its queries learn only that it is not there, and are sent again.
            if !segment.wasHitByCancellation { statement.failure = error }
            statements.forget(statement)
        }
        if segment.hasStalePlan { for statement in segment.statements { statements.forget(statement) } }
        return segment
    }

    /// Goes back to pipelining after a script.
    func reenterPipeline() -> Bool {
        isOutsidePipeline = false
        return PQenterPipelineMode(pointer) == 1
    }

    /// What it takes to ask the server to cancel what this connection is doing.
    func makeCancellation() -> Cancellation? { PQgetCancel(pointer).map { Cancellation(stealing: $0) } }
}
