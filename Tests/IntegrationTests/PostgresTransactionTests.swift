import PostgresClient
import Synchronization
import Testing

extension PostgresTests {
    @Suite(.serialized) struct Transactions {
        private struct Regret: Error {}

        private static let insert = PostgresStatement<Void>("INSERT INTO t VALUES ($1)")
        private static let count = PostgresStatement<Int64>.number("SELECT count(*) FROM t")

        private func withTable(_ body: (PostgresClient) async throws -> Void) async throws {
            try await withClient({ $0.connections = 2 }) { client in
                try await client.execute(
                    PostgresStatement("CREATE TABLE t (n int8, CONSTRAINT late UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)"), deadline: soon)
                try await body(client)
            }
        }

        @Test("What the body did is committed as one, and seen by nobody before")
        func commit() async throws {
            try await withTable { client in
                let value = try await client.transaction(deadline: soon) { transaction in
                    #expect(try await transaction.execute(Self.insert, [.int64(1)]) == 1)
                    try await transaction.execute(Self.insert, [.int64(2)])
                    #expect(try await client.query(Self.count, deadline: soon) == [0])
                    return try await transaction.query(Self.count)
                }
                #expect(value == [2])
                #expect(try await client.query(Self.count, deadline: soon) == [2])
            }
        }

        @Test("A body that throws anything is rolled back, and what it threw comes out")
        func rollback() async throws {
            try await withTable { (client) async throws in
                await #expect(throws: Regret.self) {
                    try await client.transaction(deadline: soon) { transaction in
                        try await transaction.execute(Self.insert, [.int64(1)])
                        throw Regret()
                    }
                }
                #expect(try await client.query(Self.count, deadline: soon) == [0])
                try await eventually("no connection was given up for it") { client.state().open == 2 }
            }
        }

        @Test("A body without statements costs no round trip and leaves the connection clean")
        func empty() async throws {
            try await withTable { (client) async throws in
                #expect(try await client.transaction(deadline: soon) { _ in 5 } == 5)
                await #expect(throws: Regret.self) { try await client.transaction(deadline: soon) { _ in throw Regret() } }
                #expect(try await client.query(Self.count, deadline: soon) == [0])
            }
        }

        @Test("A body that swallows an error of the server does not pass for committed")
        func swallowed() async throws {
            try await withTable { (client) async throws in
                let error = await failure {
                    try await client.transaction(deadline: soon) { transaction in
                        try await transaction.execute(Self.insert, [.int64(1)])
                        _ = try? await transaction.execute(PostgresStatement("SELECT 1 / 0"))
                    }
                }
                #expect(error?.sqlState == "25P02" && error?.stage == .commit)
                #expect(try await client.query(Self.count, deadline: soon) == [0])
            }
        }

        @Test("An error of COMMIT says so, and names the constraint")
        func failedCommit() async throws {
            try await withTable { (client) async throws in
                let error = await failure {
                    try await client.transaction(deadline: soon) { transaction in
                        try await transaction.execute(Self.insert, [.int64(1)])
                        try await transaction.execute(Self.insert, [.int64(1)])
                    }
                }
                #expect(error?.sqlState == "23505" && error?.stage == .commit && error?.constraint == "late")
                #expect(try await client.query(Self.count, deadline: soon) == [0])
            }
        }

        @Test("Where the settings are refused, nothing of the body is carried out, and the error names BEGIN")
        func failedBegin() async throws {
            try await withTable { (client) async throws in
                let error = await failure {
                    try await client.transaction(settings: PostgresSettings([("not a name", "x")]), deadline: soon) { transaction in
                        async let one = failure { try await transaction.execute(Self.insert, [.int64(1)]) }
                        async let other = failure { try await transaction.execute(Self.insert, [.int64(2)]) }
                        // Whichever is sent first has BEGIN before it.
                        for error in await [one, other] { if let error, error.stage == .begin { throw error } }
                    }
                }
                #expect(error?.stage == .begin)
                #expect(try await client.query(Self.count, deadline: soon) == [0])
            }
        }

        @Test("Settings hold for the whole transaction and end with it, committed or not")
        func settings() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let read = PostgresStatement<String?>.text("SELECT nullif(current_setting('app.user', true), '')")
                let settings = PostgresSettings([("app.user", "me")])
                try await client.transaction(settings: settings, deadline: soon) { (transaction) async throws in
                    #expect(try await transaction.query(read) == ["me"])
                    #expect(try await transaction.query(read) == ["me"])
                }
                #expect(try await client.query(read, deadline: soon) == [nil])
                try? await client.transaction(settings: settings, deadline: soon) { transaction in
                    #expect(try await transaction.query(read) == ["me"])
                    throw Regret()
                }
                #expect(try await client.query(read, deadline: soon) == [nil])
            }
        }

        @Test("Statements sent side by side are carried out in order within the transaction")
        func pipelined() async throws {
            try await withTable { client in
                try await client.transaction(deadline: soon) { transaction in
                    try await withThrowingTaskGroup(of: Int.self) { group in
                        for number in 0..<100 { group.addTask { try await transaction.execute(Self.insert, [.int64(Int64(number))]) } }
                        try await group.waitForAll()
                    }
                }
                #expect(try await client.query(Self.count, deadline: soon) == [100])
            }
        }

        @Test("A statement past the deadline rolls everything back, and the next transaction finds a clean connection")
        func deadline() async throws {
            try await withTable { client in
                let begun = ContinuousClock.now
                let error = await failure {
                    try await client.transaction(deadline: begun + .milliseconds(100)) { transaction in
                        try await transaction.execute(Self.insert, [.int64(1)])
                        try await transaction.execute(PostgresStatement("SELECT pg_sleep(30)"))
                    }
                }
                #expect(error?.code == .timeout)
                #expect(.now - begun < .seconds(1))
                try await eventually("the lock is gone") {
                    try await client.query(.number("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass"), deadline: soon) == [0]
                }
                for _ in 0..<4 {
                    #expect(try await client.transaction(deadline: soon) { try await $0.query(Self.count) } == [0])
                }
            }
        }

        @Test("A serialization failure can be told and repeated")
        func serialization() async throws {
            try await withTable { client in
                try await client.execute(Self.insert, [.int64(1)], deadline: soon)
                let other = await failure {
                    try await client.transaction(.repeatableRead, deadline: soon) { transaction in
                        _ = try await transaction.query(Self.count)
                        try await client.execute(PostgresStatement("UPDATE t SET n = 2"), deadline: soon)
                        try await transaction.execute(PostgresStatement("UPDATE t SET n = 3"))
                    }
                }
                #expect(other?.sqlState == "40001" && other?.isRetriable == true)
                let refused = await failure {
                    try await client.transaction(.readOnly, deadline: soon) { try await $0.execute(Self.insert, [.int64(9)]) }
                }
                #expect(refused?.sqlState == "25006")
            }
        }

        @Test("Transactions wait in turn while all connections for them are lent")
        func waitInTurn() async throws {
            try await withTable { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            _ = try await client.transaction(deadline: soon) { try await $0.execute(Self.insert, [.int64(Int64(number))]) }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await client.query(Self.count, deadline: soon) == [50])
            }
        }

        // MARK: Sessions

        @Test("A session runs scripts and queries on one connection, and leaves no lock, setting or table behind")
        func session() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let first = try await client.session(deadline: soon) { session in
                    try await session.execute(
                        script:
                            "CREATE TEMP TABLE mine (n int); INSERT INTO mine VALUES (1); INSERT INTO mine VALUES (2); SELECT * FROM mine;",
                        deadline: soon)
                    try await session.execute(PostgresStatement("SET work_mem = '5MB'"), deadline: soon)
                    let locked = try await session.query(.number("SELECT pg_try_advisory_lock(77)::int4"), deadline: soon)
                    #expect(locked == [1])
                    #expect(try await session.query(.number("SELECT count(*) FROM mine"), deadline: soon) == [2])
                    return try await session.query(.number("SELECT pg_backend_pid()"), deadline: soon)
                }
                let second = try await client.query(.number("SELECT pg_backend_pid()"), deadline: soon)
                #expect(first != second)
                try await eventually("the lock is gone") {
                    try await client.query(
                        .number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77"), deadline: soon)
                        == [0]
                }
            }
        }

        @Test("A script that fails is undone as a whole, says its stage, and the session goes on")
        func failedScript() async throws {
            try await withTable { client in
                try await client.session(deadline: soon) { (session) async throws in
                    let error = await failure {
                        try await session.execute(
                            script: "INSERT INTO t VALUES (1); SELECT 1 / 0; INSERT INTO t VALUES (2)", deadline: soon)
                    }
                    #expect(error?.sqlState == "22012" && error?.stage == .script)
                    #expect(try await session.query(Self.count, deadline: soon) == [0])
                    let late = await PostgresTests.failure {
                        try await session.execute(script: "SELECT pg_sleep(30)", deadline: .now + .milliseconds(50))
                    }
                    #expect(late?.code == .timeout)
                    #expect(try await session.query(Self.count, deadline: soon) == [0])
                }
            }
        }

        @Test("A lease that outlives its body is of no use")
        func afterTheEnd() async throws {
            try await withTable { client in
                let kept = Mutex<PostgresTransaction?>(nil)
                try await client.transaction(deadline: soon) { transaction in
                    kept.withLock { $0 = transaction }
                    try await transaction.execute(Self.insert, [.int64(1)])
                }
                guard let transaction = kept.withLock({ $0 }) else { return }
                #expect(await failure { try await transaction.query(Self.count) }?.code == .connection)
            }
        }
    }
}
