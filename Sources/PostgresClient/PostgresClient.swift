import Reactor
import Synchronization

/// An asynchronous client for one PostgreSQL server: a bounded pool of pipelined connections.
///
/// Every call has a deadline, and ends by it. A call that ends early, by its deadline or because its task was cancelled, also has the
/// server cancel the statement if that is running. Connections that are lost are made again in the background; until one is back, calls
/// fail at once. All methods may be called from any task.
public final class PostgresClient: Sendable {
    private let core: PostgresCore

    /// Starts to connect at once, in the background. `observe` is called on the reactor's thread.
    public init(
        _ configuration: PostgresConfiguration, reactor: Reactor, observe: @escaping @Sendable (PostgresEvent) -> Void = { _ in }
    ) {
        core = PostgresCore(configuration, reactor: reactor, observe: observe)
        core.perform { $0.start() }
    }

    deinit { core.perform { $0.closeAll() } }

    /// Runs one statement in a transaction of its own and answers its rows. Up to the pipeline's depth of them share a connection.
    ///
    /// - Parameter settings: hold for this statement alone, and travel with it.
    /// - Throws: any `PostgresError`. Where `isRetriable` is false the statement may have been carried out.
    public nonisolated(nonsending) func query<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue] = [], settings: PostgresSettings? = nil,
        deadline: ContinuousClock.Instant
    ) async throws(PostgresError) -> [Row] {
        let query = Query(statement, parameters, settings: settings, deadline: deadline)
        return try await core.run(query) { $0.submit(query) }.rows
    }

    /// As `query`, for a statement whose rows are of no interest. Answers how many rows it touched.
    @discardableResult
    public nonisolated(nonsending) func execute(
        _ statement: PostgresStatement<Void>, _ parameters: [PostgresValue] = [], settings: PostgresSettings? = nil,
        deadline: ContinuousClock.Instant
    ) async throws(PostgresError) -> Int {
        let query = Query(statement, parameters, settings: settings, deadline: deadline)
        return try await core.run(query) { $0.submit(query) }.affectedRows
    }

    /// Runs `body` in a transaction on a connection of its own and commits it; rolls back where `body` throws.
    ///
    /// BEGIN and the settings travel with the first statement. What `body` throws comes out unchanged. A `PostgresError` of BEGIN or
    /// COMMIT says so in its `stage`; `.commitUnknown` means that the answer to COMMIT was lost.
    public nonisolated(nonsending) func transaction<T: Sendable>(
        _ mode: PostgresTransaction.Mode = .readCommitted, settings: PostgresSettings? = nil, deadline: ContinuousClock.Instant,
        _ body: (PostgresTransaction) async throws -> T
    ) async throws -> T {
        let lease = Lease(begin: mode.begin, settings: settings)
        try await acquire(lease, deadline)
        let transaction = PostgresTransaction(core, lease, deadline)
        let value: T
        do {
            value = try await body(transaction)
        } catch {
            await transaction.rollback()
            throw error
        }
        try await transaction.commit()
        return value
    }

    /// Lends `body` a connection of its own outside any transaction, for advisory locks and migration scripts. The connection is closed
    /// at the end, so nothing that was set, locked or created for the session is left behind.
    public nonisolated(nonsending) func session<T: Sendable>(
        deadline: ContinuousClock.Instant, _ body: (PostgresSession) async throws -> T
    ) async throws -> T {
        let lease = Lease(begin: nil, settings: nil)
        try await acquire(lease, deadline)
        defer { core.perform { $0.end(lease) } }
        return try await body(PostgresSession(core, lease))
    }

    /// How the pool stands; costs one atomic load.
    public func state() -> PostgresPoolState { core.state }

    /// Proves that a connection answers.
    public nonisolated(nonsending) func ping(deadline: ContinuousClock.Instant) async throws(PostgresError) {
        try await execute(PostgresStatement("SELECT 1"), deadline: deadline)
    }

    /// Refuses new calls, lets those in flight finish for the configured grace, then closes every connection.
    public nonisolated(nonsending) func shutdown() async {
        await withUnsafeContinuation { continuation in core.perform { $0.shutdown(continuation) } }
    }

    private nonisolated(nonsending) func acquire(_ lease: Lease, _ deadline: ContinuousClock.Instant) async throws(PostgresError) {
        let request = LeaseRequest(lease, deadline: deadline)
        let outcome = try await core.wait(for: request) {
            request.continuation = $0
        } start: {
            $0.submit(request)
        }
        try outcome.get()
    }
}

extension PostgresCore {
    /// Hands a query over and waits for its answer.
    nonisolated(nonsending) func run<Row>(
        _ query: Query<Row>, start: @escaping @Sendable (isolated PostgresCore) -> Void
    ) async throws(PostgresError) -> Query<Row>.Answer {
        try await wait(for: query) {
            query.continuation = $0
        } start: {
            start($0)
        }.get()
    }

    /// Hands a request over and waits for its outcome, its deadline, or the cancellation of the task.
    nonisolated(nonsending) func wait<Outcome>(
        for request: Request, keep: (UnsafeContinuation<Outcome, Never>) -> Void,
        start: @escaping @Sendable (isolated PostgresCore) -> Void
    ) async throws(PostgresError) -> Outcome {
        guard !Task.isCancelled else { throw PostgresError(.cancelled) }
        guard request.deadline > .now else { throw PostgresError(.timeout) }
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                keep(continuation)
                perform(start)
            }
        } onCancel: {
            request.isCancelled.store(true, ordering: .relaxed)
            perform { $0.cancel(request) }
        }
    }
}
