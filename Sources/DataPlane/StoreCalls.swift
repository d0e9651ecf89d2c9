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

    /// Runs one statement in a transaction of its own as `principal`. Throws `storeUnavailable`, `overloaded` or `internal`; `forbidden`
    /// where row security refuses what is written; and what `refusals` has for the constraint that the server names.
    public func rows<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue], as principal: PostgresSettings, within limit: Duration,
        refusals: [String: Problem] = [:]
    ) async throws(Problem) -> [Row] {
        let start = try watch.begin()
        do throws(PostgresError) {
            let rows = try await client.query(statement, parameters, settings: principal, deadline: start + limit)
            watch.answered(since: start)
            return rows
        } catch {
            throw problem(error, since: start, refusals)
        }
    }

    /// Runs `body` in one transaction as `principal` and commits it; rolls back where `body` throws, and throws that if it is a problem.
    /// Otherwise what holds for `rows` holds here. `storeUnavailable` may mean that the answer to COMMIT was lost.
    public func transaction<T: Sendable>(
        as principal: PostgresSettings, within limit: Duration, refusals: [String: Problem] = [:],
        _ body: (PostgresTransaction) async throws -> T
    ) async throws(Problem) -> T {
        let start = try watch.begin()
        do {
            let value = try await client.transaction(settings: principal, deadline: start + limit, body)
            watch.answered(since: start)
            return value
        } catch let error as PostgresError {
            throw problem(error, since: start, refusals)
        } catch let problem as Problem {
            watch.answered(since: start)
            throw problem
        } catch {
            throw watch.failed(since: start, isUnavailable: false, isFull: false, String(describing: type(of: error)))
        }
    }

    private func problem(_ error: PostgresError, since start: ContinuousClock.Instant, _ refusals: [String: Problem]) -> Problem {
        // Whoever made a call that was cancelled has had his answer; it says nothing of the store.
        if error.code == .cancelled { return .unavailable(watch.store) }
        let refusal = error.constraint.flatMap { refusals[$0] } ?? (error.sqlState == "42501" ? .forbidden : nil)
        if let refusal {
            watch.answered(since: start)
            return refusal
        }
        // A deadlock or a serialization failure: the store answers, and the same call may succeed.
        if error.sqlState?.hasPrefix("40") == true {
            watch.answered(since: start)
            return .unavailable(watch.store)
        }
        return watch.failed(
            since: start, isUnavailable: error.isUnavailable, isFull: error.code == .queueFull, error.debugDescription)
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
