import PostgresClient
import Reactor

/// Exercises the PostgreSQL client for about `seconds`: queries, arrays, errors, transactions, sessions, cancellation, deadlines, killed
/// connections, and clients that come and go. Built with a sanitizer it finds leaks and races; it also prints what was done.
///
/// `connection` is `host=... port=... user=... password=... dbname=...` of a throwaway server, with the right to kill connections.
func checkPostgres(connection: String, seconds: Int) async throws {
    guard var configuration = PostgresConfiguration(connectionString: connection) else {
        throw CheckFailure(what: "not a connection string: host=... port=... user=... password=... dbname=...")
    }
    configuration.applicationName = "drivercheck"
    let reactor = Reactor(name: "drivercheck-pg")
    let client = PostgresClient(configuration, reactor: reactor)
    let check = PostgresCheck(configuration: configuration, reactor: reactor, client: client)
    try await client.session(deadline: .now + .seconds(10)) { session in
        try await session.execute(script: PostgresCheck.schema, deadline: .now + .seconds(10))
    }
    let begun = ContinuousClock.now
    let counts = try await check.exercise(until: begun + .seconds(seconds) / 2)
    print("postgres: \(counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))")
    let (operations, elapsed) = try await check.pointQueries(callers: 64, until: .now + .seconds(seconds) / 2)
    print("postgres: \(operations) point queries, \(Int(Double(operations) / (elapsed / .seconds(1)))) per second, 64 callers")
    await client.shutdown()
    reactor.shutdown()
}

private struct CheckFailure: Error { let what: String }

private final class PostgresCheck: Sendable {
    static let schema = """
        DROP TABLE IF EXISTS drivercheck;
        CREATE TABLE drivercheck (id uuid PRIMARY KEY, title text NOT NULL, price numeric(12,2) NOT NULL, tags text[] NOT NULL);
        INSERT INTO drivercheck
          SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 'title ' || n, n * 0.05, ARRAY['a', n::text]
          FROM generate_series(1, 1000) AS n;
        """

    private let configuration: PostgresConfiguration
    private let reactor: Reactor
    private let client: PostgresClient

    init(configuration: PostgresConfiguration, reactor: Reactor, client: PostgresClient) {
        self.configuration = configuration
        self.reactor = reactor
        self.client = client
    }

    private struct Item: Sendable, Equatable {
        let id: UInt128
        let title: String
        let cents: Int64
        let tags: [String]
    }

    private static let decodeItem: @Sendable (borrowing PostgresRow) throws(PostgresError) -> Item = { row throws(PostgresError) in
        Item(
            id: try row.uuid(0), title: try row.text(1), cents: try row.numericMinorUnits(2, scale: 2), tags: try row.texts(3))
    }
    private static let byIDs = PostgresStatement<Item>(
        "SELECT id, title, price, tags FROM drivercheck WHERE id = ANY($1)", decode: decodeItem)
    private static let byID = PostgresStatement<Item>("SELECT id, title, price, tags FROM drivercheck WHERE id = $1", decode: decodeItem)
    private static let principal = PostgresStatement<String>("SELECT current_setting('app.principal', true)") { row throws(PostgresError) in
        try row.text(0)
    }

    private var soon: ContinuousClock.Instant { .now + .seconds(20) }

    // MARK: Everything, side by side

    func exercise(until end: ContinuousClock.Instant) async throws -> [String: Int] {
        let exercises: [(String, @Sendable (PostgresCheck, Int) async throws -> Void)] = [
            ("batches", { try await $0.batch($1) }),
            ("settings", { try await $0.settings($1) }),
            ("errors", { try await $0.serverErrors($1) }),
            ("commits", { try await $0.commit($1) }),
            ("rollbacks", { try await $0.rollback($1) }),
            ("cancellations", { try await $0.cancellation($1) }),
            ("deadlines", { try await $0.deadline($1) }),
            ("many statements", { try await $0.manyStatements($1) }),
            ("kills", { try await $0.kill($1) }),
            ("clients", { try await $0.clientLife($1) }),
        ]
        return try await withThrowingTaskGroup(of: [String: Int].self) { group in
            for worker in 0..<24 {
                group.addTask {
                    var turn = worker
                    var done: [String: Int] = [:]
                    while .now < end {
                        let (name, body) = exercises[turn % exercises.count]
                        do {
                            try await body(self, turn)
                            done[name, default: 0] += 1
                        } catch let error as PostgresError where error.isUnavailable {
                            // Another worker kills connections.
                            done["unavailable", default: 0] += 1
                        }
                        turn += 1
                    }
                    return done
                }
            }
            return try await group.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
        }
    }

    private func batch(_ turn: Int) async throws {
        let ids = (1...100).map { UInt128(($0 + turn) % 1000 + 1) }
        let items = try await client.query(Self.byIDs, [.uuids(ids)], deadline: soon)
        guard Set(items.map(\.id)) == Set(ids), items.allSatisfy({ $0.cents == Int64($0.id) * 5 && $0.tags.count == 2 }) else {
            throw CheckFailure(what: "a batch came back wrong")
        }
    }

    private func settings(_ turn: Int) async throws {
        let settings = PostgresSettings([("app.principal", "user \(turn)")])
        let inside = try await client.query(Self.principal, settings: settings, deadline: soon)
        let outside = try await client.query(Self.principal, settings: PostgresSettings([("app.principal", "")]), deadline: soon)
        guard inside == ["user \(turn)"], outside == [""] else { throw CheckFailure(what: "settings were carried over") }
    }

    private func serverErrors(_ turn: Int) async throws {
        for (sql, code) in [("SELECT 1 / 0", "22012"), ("SELEC", "42601"), ("SELECT * FROM nowhere_\(turn % 7)", "42P01")] {
            do {
                try await client.execute(PostgresStatement(sql), deadline: soon)
                throw CheckFailure(what: "no error \(code)")
            } catch let error as PostgresError where error.sqlState == code {}
        }
    }

    private static let update = PostgresStatement<Void>("UPDATE drivercheck SET title = $2 WHERE id = $1")

    private func commit(_ turn: Int) async throws {
        let id = PostgresValue.uuid(UInt128(turn % 1000 + 1))
        let rows = try await client.transaction(deadline: soon) { transaction in
            try await transaction.execute(Self.update, [id, .text("changed \(turn)")])
        }
        guard rows == 1 else { throw CheckFailure(what: "an update touched \(rows) rows") }
    }

    private func rollback(_ turn: Int) async throws {
        struct Regret: Error {}
        let id = PostgresValue.uuid(UInt128(turn % 1000 + 1))
        do {
            try await client.transaction(deadline: soon) { transaction in
                try await transaction.execute(Self.update, [id, .text("never seen")])
                throw Regret()
            }
        } catch is Regret {}
        let items = try await client.query(Self.byID, [id], deadline: soon)
        guard items.first?.title != "never seen" else { throw CheckFailure(what: "a rollback was none") }
    }

    private func cancellation(_ turn: Int) async throws {
        let client = client
        let soon = soon
        let task = Task { try await client.execute(PostgresStatement("SELECT pg_sleep(10)"), deadline: soon) }
        // Each turn at another moment: before it is sent, on its way, or at work.
        try await Task.sleep(for: .milliseconds(turn % 5))
        task.cancel()
        do {
            _ = try await task.value
            throw CheckFailure(what: "a cancelled query was answered")
        } catch let error as PostgresError where error.code == .cancelled {}
    }

    private func deadline(_ turn: Int) async throws {
        do {
            try await client.execute(PostgresStatement("SELECT pg_sleep(10)"), deadline: .now + .milliseconds(5))
            throw CheckFailure(what: "a query outlived its deadline")
        } catch let error as PostgresError where error.code == .timeout {}
    }

    private func manyStatements(_ turn: Int) async throws {
        for number in 0..<20 {
            let statement = PostgresStatement<Int64>("SELECT $1::bigint + \((turn * 20 + number) % 700)") { row throws(PostgresError) in
                try row.int64(0)
            }
            let sums = try await client.query(statement, [.int64(1)], deadline: soon)
            guard sums == [Int64((turn * 20 + number) % 700 + 1)] else { throw CheckFailure(what: "a wrong sum") }
        }
    }

    private func kill(_ turn: Int) async throws {
        guard turn.isMultiple(of: 7) else { return }
        let sql = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'drivercheck' AND pid <> pg_backend_pid() LIMIT 1
            """
        try await client.execute(PostgresStatement(sql), deadline: soon)
    }

    private func clientLife(_ turn: Int) async throws {
        var configuration = configuration
        configuration.connections = 1 + turn % 2
        let client = PostgresClient(configuration, reactor: reactor)
        try await client.ping(deadline: soon)
        if turn.isMultiple(of: 3) { await client.shutdown() }
    }

    // MARK: Speed

    func pointQueries(callers: Int, until end: ContinuousClock.Instant) async throws -> (Int, Duration) {
        let begun = ContinuousClock.now
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for caller in 0..<callers {
                group.addTask {
                    var count = 0
                    while .now < end {
                        let id = UInt128((caller * 131 + count * 7) % 1000 + 1)
                        let items = try await self.client.query(Self.byID, [.uuid(id)], deadline: .now + .seconds(5))
                        guard items.first?.id == id else { throw CheckFailure(what: "the wrong row") }
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        return (total, .now - begun)
    }
}
