import PostgresClient
import Testing

extension PostgresTests {
    @Suite(.serialized) struct Queries {
        @Test(
            "The server's code comes through, and the constraint's name",
            arguments: [
                ("SELECT 1 / 0", "22012"), ("SELEC", "42601"), ("SELECT * FROM nowhere", "42P01"), ("INSERT INTO t VALUES (1)", "23505"),
                ("INSERT INTO t VALUES (-1)", "23514"), ("INSERT INTO t VALUES (NULL)", "23502"), ("SELECT 'x'::int4", "22P02"),
                ("DO $$ BEGIN RAISE SQLSTATE 'KB001'; END $$", "KB001"), ("SELECT 1; SELECT 2", "42601"),
            ])
        func serverErrors(sql: String, sqlState: String) async throws {
            try await withClient({ $0.connections = 1 }) { client in
                try await client.execute(
                    PostgresStatement("CREATE TABLE t (id int PRIMARY KEY, CONSTRAINT positive CHECK (id > 0))"), deadline: soon)
                try await client.execute(PostgresStatement("INSERT INTO t VALUES (1)"), deadline: soon)
                let error = await failure { try await client.execute(PostgresStatement(sql), deadline: soon) }
                #expect(error?.sqlState == sqlState)
                if sqlState == "23505" { #expect(error?.constraint == "t_pkey") }
                if sqlState == "23514" { #expect(error?.constraint == "positive") }
                #expect(error.map { !"\($0)".contains(sql) && $0.debugDescription.contains(sql) } == true)
                #expect(try await client.query(.number("SELECT count(*) FROM t"), deadline: soon) == [1])
            }
        }

        @Test("A constraint that is checked at commit fails its own query alone")
        func deferredConstraint() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                try await client.execute(
                    PostgresStatement("CREATE TABLE t (id int PRIMARY KEY, o int REFERENCES t DEFERRABLE INITIALLY DEFERRED)"),
                    deadline: soon)
                async let bad = failure { try await client.execute(PostgresStatement("INSERT INTO t VALUES (1, 99)"), deadline: soon) }
                async let good = client.execute(PostgresStatement("INSERT INTO t VALUES (2, 2)"), deadline: soon)
                #expect(await bad?.sqlState == "23503")
                #expect(try await good == 1)
                #expect(try await client.query(.number("SELECT id FROM t"), deadline: soon) == [2])
            }
        }

        @Test("An error never aborts a neighbour in the same pipeline")
        func neighbours() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let outcomes = await withTaskGroup(of: Bool.self, returning: [Bool].self) { group in
                    for number in 0..<200 {
                        group.addTask {
                            let rows = try? await client.query(
                                .number("SELECT 100 / $1::int8"), [.int64(Int64(number % 4))], deadline: soon)
                            return number % 4 == 0 ? rows == nil : rows == [100 / Int64(number % 4)]
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(outcomes.allSatisfy { $0 })
            }
        }

        @Test("Settings hold for their own query alone, also side by side on one connection, also when it fails")
        func settings() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let read = PostgresStatement<String?>.text(
                    "SELECT nullif(current_setting('app.user', true), '') || '/' || nullif(current_setting('app.role', true), '')")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<200 {
                        group.addTask { () async throws in
                            if number % 3 == 0 {
                                #expect(try await client.query(read, deadline: soon) == [nil])
                            } else if number % 3 == 1 {
                                let settings = PostgresSettings([("app.user", "u\(number)"), ("app.role", "r")])
                                #expect(try await client.query(read, settings: settings, deadline: soon) == ["u\(number)/r"])
                            } else {
                                let settings = PostgresSettings([("app.user", "x"), ("app.role", "y")])
                                let failed = await failure {
                                    try await client.execute(PostgresStatement("SELECT 1 / 0"), settings: settings, deadline: soon)
                                }
                                #expect(failed?.sqlState == "22012")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let refused = await failure {
                    try await client.query(read, settings: PostgresSettings([("not a name", "x")]), deadline: soon)
                }
                #expect(refused?.sqlState != nil, "a setting that is refused fails the query")
                #expect(try await client.query(read, settings: PostgresSettings([]), deadline: soon) == [nil])
            }
        }

        @Test("A statement whose table has changed is prepared again, unseen by its callers")
        func prepareAgain() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let star = PostgresStatement<Int64>("SELECT * FROM t") { row throws(PostgresError) in try row.int64(0) }
                try await client.execute(PostgresStatement("CREATE TABLE t AS SELECT 1::int4 AS a"), deadline: soon)
                #expect(try await client.query(star, deadline: soon) == [1])
                try await client.execute(PostgresStatement("ALTER TABLE t ALTER a TYPE int8, ADD b text"), deadline: soon)
                #expect(try await client.query(star, deadline: soon) == [1])
                try await client.execute(PostgresStatement("DEALLOCATE ALL"), deadline: soon)
                #expect(try await client.query(star, deadline: soon) == [1])
                #expect(try await client.query(star, settings: PostgresSettings([("app.user", "x")]), deadline: soon) == [1])
            }
        }

        @Test("In a transaction a stale statement is the caller's error, and the next transaction has it prepared again")
        func prepareAgainInTransaction() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let star = PostgresStatement<Int64>("SELECT * FROM t") { row throws(PostgresError) in try row.int64(0) }
                try await client.execute(PostgresStatement("CREATE TABLE t AS SELECT 1::int4 AS a"), deadline: soon)
                #expect(try await client.query(star, deadline: soon) == [1])
                try await client.execute(PostgresStatement("ALTER TABLE t ADD b text"), deadline: soon)
                let stale = await failure { try await client.transaction(deadline: soon) { try await $0.query(star) } }
                #expect(stale?.sqlState == "0A000")
                #expect(try await client.transaction(deadline: soon) { try await $0.query(star) } == [1])
            }
        }

        @Test("A statement that cannot be prepared says why, each time, and to every caller in the pipeline")
        func cannotBePrepared() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                await withTaskGroup { group in
                    for _ in 0..<20 {
                        group.addTask {
                            let error = await failure { try await client.query(.number("SELECT nothing FROM nowhere"), deadline: soon) }
                            #expect(error?.sqlState == "42P01")
                        }
                    }
                }
            }
        }

        @Test("Beyond the limit the least recently used statements leave the server too")
        func statementLimit() async throws {
            try await withClient({
                $0.connections = 1
                $0.statementLimit = 16
            }) { (client) async throws in
                for number in 0..<100 {
                    #expect(try await client.query(.number("SELECT \(number)::int8"), deadline: soon) == [Int64(number)])
                }
                #expect(try await client.query(.number("SELECT count(*) FROM pg_prepared_statements"), deadline: soon) == [16])
                #expect(try await client.query(.number("SELECT 0::int8"), deadline: soon) == [0])
            }
        }

        @Test("A hundred answers of two hundred kilobytes each come through one connection")
        func largeAnswers() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let statement = PostgresStatement<Int>("SELECT repeat($1, 100000)") { row throws(PostgresError) in
                    try row.withBytes(0) { bytes throws(PostgresError) in bytes.count }
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<100 {
                        group.addTask { () async throws in
                            #expect(try await client.query(statement, [.text("é")], deadline: soon) == [200_000])
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }

        @Test("COPY, which needs another protocol, is refused and costs its connection alone")
        func copy() async throws {
            try await withClient { (client) async throws in
                let error = await failure { try await client.execute(PostgresStatement("COPY (SELECT 1) TO STDOUT"), deadline: soon) }
                #expect(error?.code == .protocolViolation)
                #expect(try await client.query(.number("SELECT 1"), deadline: soon) == [1])
            }
        }
    }
}
