import Contract
import MongoClient
import PostgresClient
import RedisClient

/// Calls of the stores as features make them: timed, with their failures turned into problems. A problem is unavailable or overloaded,
/// or something nobody foresaw, whose detail goes to the log alone.
extension PostgresClient {
    /// Runs one statement in a transaction of its own as `principal`.
    public func rows<Row>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue], as principal: PostgresSettings, within limit: Duration,
        observer: any Observer
    ) async throws(Problem) -> [Row] {
        let start = ContinuousClock.now
        do throws(PostgresError) {
            let rows = try await query(statement, parameters, settings: principal, deadline: start + limit)
            observer.observe(.storeCall(.postgres, microseconds: start.elapsedMicroseconds, failed: false))
            return rows
        } catch {
            observer.observe(.storeCall(.postgres, microseconds: start.elapsedMicroseconds, failed: true))
            throw Problem(.postgres, isUnavailable: error.isUnavailable, isFull: error.code == .queueFull, error.debugDescription, observer)
        }
    }
}

extension MongoClient {
    /// Runs `body` on a thread of the client.
    public func result<T: Sendable>(
        within limit: Duration, observer: any Observer, _ body: @escaping @Sendable (borrowing MongoSession) throws -> T
    ) async throws(Problem) -> T {
        let start = ContinuousClock.now
        do throws(MongoError) {
            let value = try await run(deadline: start + limit, body)
            observer.observe(.storeCall(.mongo, microseconds: start.elapsedMicroseconds, failed: false))
            return value
        } catch {
            observer.observe(.storeCall(.mongo, microseconds: start.elapsedMicroseconds, failed: true))
            throw Problem(.mongo, isUnavailable: error.isUnavailable, isFull: error.code == .queueFull, error.debugDescription, observer)
        }
    }
}

extension Problem {
    init(_ store: StoreName, isUnavailable: Bool, isFull: Bool, _ detail: @autoclosure () -> String, _ observer: any Observer) {
        if isFull {
            self = .overloaded
        } else if isUnavailable {
            self = .unavailable(store)
        } else {
            observer.observe(.unexpectedError(id: nil, detail: "\(store.rawValue): \(detail())"))
            self = .unexpected
        }
    }
}
