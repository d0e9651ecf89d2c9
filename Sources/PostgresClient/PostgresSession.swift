/// A connection lent to one caller outside any transaction, valid within the body it was lent to.
public final class PostgresSession: Sendable {
    private let core: PostgresCore
    private let lease: Lease

    init(_ core: PostgresCore, _ lease: Lease) {
        self.core = core
        self.lease = lease
    }

    /// Runs one statement in a transaction of its own, unless a script has begun one.
    public nonisolated(nonsending) func query<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue] = [], deadline: ContinuousClock.Instant
    ) async throws(PostgresError) -> [Row] {
        let query = Query(statement, parameters, deadline: deadline)
        return try await core.run(query) { [lease] in $0.submit(query, in: lease) }.rows
    }

    /// As `query`; answers how many rows the statement touched.
    @discardableResult
    public nonisolated(nonsending) func execute(
        _ statement: PostgresStatement<Void>, _ parameters: [PostgresValue] = [], deadline: ContinuousClock.Instant
    ) async throws(PostgresError) -> Int {
        let query = Query(statement, parameters, deadline: deadline)
        return try await core.run(query) { [lease] in $0.submit(query, in: lease) }.affectedRows
    }

    /// Runs statements separated by semicolons, without parameters: a migration file. They are one transaction, unless the script has
    /// BEGIN and COMMIT of its own. Nothing that came from a client may stand in it.
    public nonisolated(nonsending) func execute(script: String, deadline: ContinuousClock.Instant) async throws(PostgresError) {
        let query = Query(PostgresStatement<Void>(script), kind: .script, deadline: deadline)
        _ = try await core.run(query) { [lease] in $0.submit(query, in: lease) }
    }
}
