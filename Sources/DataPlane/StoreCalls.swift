import Contract
import MongoClient
import PostgresClient

/// PostgreSQL as features call it: each call timed, its failure a problem, and none made while the server is known to be silent.
/// Everybody in a gateway shares one.
public struct PostgresAccess: Sendable {
    private let client: PostgresClient
    private let watch: StoreWatch

    public init(_ client: PostgresClient, observer: any Observer) {
        self.client = client
        watch = StoreWatch(.postgres, observer: observer) { deadline in (try? await client.ping(deadline: deadline)) != nil }
    }

    /// Runs one statement in a transaction of its own as `principal`. Throws `storeUnavailable`, `overloaded` or `internal`.
    public func rows<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue], as principal: PostgresSettings, within limit: Duration
    ) async throws(Problem) -> [Row] {
        let start = try watch.begin()
        do throws(PostgresError) {
            let rows = try await client.query(statement, parameters, settings: principal, deadline: start + limit)
            watch.answered(since: start)
            return rows
        } catch {
            // Whoever made a call that was cancelled has had his answer; it says nothing of the store.
            if error.code == .cancelled { throw .unavailable(watch.store) }
            throw watch.failed(since: start, isUnavailable: error.isUnavailable, isFull: error.code == .queueFull, error.debugDescription)
        }
    }
}

/// MongoDB as features call it; what holds for `PostgresAccess` holds here.
public struct MongoAccess: Sendable {
    private let client: MongoClient
    private let watch: StoreWatch

    public init(_ client: MongoClient, observer: any Observer) {
        self.client = client
        watch = StoreWatch(.mongo, observer: observer) { deadline in (try? await client.ping(deadline: deadline)) != nil }
    }

    /// Runs `body` on a thread of the client. Throws `storeUnavailable`, `overloaded` or `internal`.
    public func result<T: Sendable>(
        within limit: Duration, _ body: @escaping @Sendable (borrowing MongoSession) throws -> T
    ) async throws(Problem) -> T {
        let start = try watch.begin()
        do throws(MongoError) {
            let value = try await client.run(deadline: start + limit, body)
            watch.answered(since: start)
            return value
        } catch {
            // Whoever made a call that was cancelled has had his answer; it says nothing of the store.
            if error.code == .cancelled { throw .unavailable(watch.store) }
            throw watch.failed(since: start, isUnavailable: error.isUnavailable, isFull: error.code == .queueFull, error.debugDescription)
        }
    }
}
