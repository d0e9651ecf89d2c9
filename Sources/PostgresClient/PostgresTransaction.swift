/// A transaction that is under way, valid within the body it was lent to. Statements may be sent without waiting for each other's
/// answers; the server carries them out in order.
public final class PostgresTransaction: Sendable {
    /// The isolation that the transaction runs under.
    public enum Mode: Sendable {
        case readCommitted, repeatableRead, serializable
        /// One snapshot, for exports and checks.
        case readOnly

        var begin: String {
            switch self {
            case .readCommitted: "BEGIN"
            case .repeatableRead: "BEGIN ISOLATION LEVEL REPEATABLE READ"
            case .serializable: "BEGIN ISOLATION LEVEL SERIALIZABLE"
            case .readOnly: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            }
        }
    }

    private let core: PostgresCore
    private let lease: Lease
    /// The transaction's own deadline, which every statement and the COMMIT keep.
    public let deadline: ContinuousClock.Instant

    init(_ core: PostgresCore, _ lease: Lease, _ deadline: ContinuousClock.Instant) {
        self.core = core
        self.lease = lease
        self.deadline = deadline
    }

    /// Runs one statement in this transaction. After an error of the server, the transaction can only be rolled back.
    public nonisolated(nonsending) func query<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue] = []
    ) async throws(PostgresError) -> [Row] {
        try await run(statement, parameters).rows
    }

    /// As `query`; answers how many rows the statement touched.
    @discardableResult
    public nonisolated(nonsending) func execute(
        _ statement: PostgresStatement<Void>, _ parameters: [PostgresValue] = []
    ) async throws(PostgresError) -> Int {
        try await run(statement, parameters).affectedRows
    }

    private nonisolated(nonsending) func run<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue]
    ) async throws(PostgresError) -> Query<Row>.Answer {
        let query = Query(statement, parameters, deadline: deadline)
        return try await core.run(query) { [lease] in $0.submit(query, in: lease) }
    }

    // MARK: The end

    /// Commits, if anything was sent. Not ended by cancellation: whoever asked for it wants to know the outcome.
    nonisolated(nonsending) func commit() async throws(PostgresError) {
        guard deadline > .now else {
            await rollback()
            throw PostgresError(.timeout, stage: .commit)
        }
        let answer = await end(.commit, "COMMIT")
        // The server answers ROLLBACK to the COMMIT of a transaction in which a statement had failed.
        if case .success(let answer) = answer, answer.tag == "ROLLBACK" {
            throw PostgresError(.server(sqlState: "25P02"), "an earlier statement had failed", stage: .commit)
        }
        _ = try answer.get()
    }

    /// Rolls back and waits for that until the deadline; past it, the connection sees to it alone.
    nonisolated(nonsending) func rollback() async { _ = await end(.rollback, "ROLLBACK") }

    private nonisolated(nonsending) func end(_ kind: Request.Kind, _ sql: String) async -> Query<Void>.Outcome {
        let query = Query(PostgresStatement<Void>(sql), kind: kind, deadline: deadline)
        return await withUnsafeContinuation { continuation in
            query.continuation = continuation
            core.perform { [lease] core in
                core.close(lease, with: query)
            }
        }
    }
}

extension PostgresCore {
    /// Ends a transaction: with COMMIT or ROLLBACK if it was begun, then by giving the connection back.
    func close(_ lease: Lease, with query: Request) {
        defer { end(lease) }
        if let failure = lease.failure { return query.finish(failure) }
        if lease.begin != nil { return query.finish(nil) }
        submit(query, in: lease)
    }
}
