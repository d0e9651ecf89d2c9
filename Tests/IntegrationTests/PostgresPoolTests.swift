import PostgresClient
import Testing

extension PostgresTests {
    @Suite(.serialized) struct Pool {
        @Test("A thousand callers share a pool of four, and each gets its own answer")
        func thousandCallers() async throws {
            try await withClient({ $0.queueLimit = 2000 }) { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for caller in 0..<1000 {
                        group.addTask {
                            for turn in 0..<5 {
                                let value = Int64(caller * 10 + turn)
                                if caller % 10 == 0 {
                                    let rows = try await client.transaction(deadline: soon) {
                                        try await $0.query(.number("SELECT $1::int8"), [.int64(value)])
                                    }
                                    #expect(rows == [value])
                                } else {
                                    #expect(try await client.query(.number("SELECT $1::int8"), [.int64(value)], deadline: soon) == [value])
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let state = client.state()
                #expect(state.open == 4 && state.busy == 0 && state.waiting == 0)
                let connections = try await client.query(
                    .number("SELECT count(*) FROM pg_stat_activity WHERE application_name = current_setting('application_name')"),
                    deadline: soon)
                #expect(connections == [4])
            }
        }

        @Test("A full queue answers at once")
        func fullQueue() async throws {
            try await withClient({
                $0.connections = 1
                $0.pipelineDepth = 2
                $0.queueLimit = 3
            }) { client in
                try await client.ping(deadline: soon)
                let deadline = ContinuousClock.now + .milliseconds(400)
                let begun = ContinuousClock.now
                let outcomes = await withTaskGroup(of: (PostgresError.Code?, Duration).self) { group in
                    for _ in 0..<50 {
                        group.addTask {
                            let error = await failure {
                                try await client.execute(PostgresStatement("SELECT pg_sleep(5)"), deadline: deadline)
                            }
                            return (error?.code, .now - begun)
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(outcomes.count { $0.0 == .queueFull } == 45)
                #expect(outcomes.count { $0.0 == .timeout } == 5)
                #expect(outcomes.allSatisfy { $0.0 == .timeout || $0.1 < .milliseconds(200) }, "a refusal waited")
            }
        }

        @Test("A deadline ends the call in time, and its statement on the server")
        func deadline() async throws {
            try await withClient { client in
                let begun = ContinuousClock.now
                let error = await failure {
                    try await client.execute(PostgresStatement("SELECT pg_sleep(30) /* deadline */"), deadline: begun + .milliseconds(100))
                }
                #expect(error?.code == .timeout)
                #expect(.now - begun < .seconds(1))
                try await noStatementRuns(on: client)
                #expect(await failure { try await client.ping(deadline: .now) }?.code == .timeout)
            }
        }

        @Test("Cancelling the task ends the call at once, and its statement on the server", arguments: [1, 4])
        func cancellation(connections: Int) async throws {
            try await withClient({ $0.connections = connections }) { client in
                try await withClient { observer in
                    let task = Task { try await client.execute(PostgresStatement("SELECT pg_sleep(30) /* cancelled */"), deadline: soon) }
                    try await eventually("the statement runs") { try await running("cancelled", observer) == 1 }
                    let begun = ContinuousClock.now
                    task.cancel()
                    #expect(await failure { try await task.value }?.code == .cancelled)
                    #expect(.now - begun < .seconds(1))
                    try await eventually("the statement ends") { try await running("cancelled", observer) == 0 }
                    try await client.ping(deadline: soon)
                }
            }
        }

        @Test("A task that is cancelled already sends nothing")
        func cancelledBefore() async throws {
            try await withClient { client in
                let task = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    return await failure { try await client.ping(deadline: soon) }?.code
                }
                #expect(await task.value == .cancelled)
            }
        }

        @Test("Neighbours of a cancelled statement get their answers")
        func cancelledNeighbour() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                for _ in 0..<30 {
                    async let slow = failure {
                        try await client.execute(PostgresStatement("SELECT pg_sleep(5)"), deadline: .now + .milliseconds(5))
                    }
                    let numbers = try await withThrowingTaskGroup(of: [Int64].self) { group in
                        for number in 0..<20 {
                            group.addTask {
                                try await client.query(.number("SELECT $1 FROM pg_sleep(0.001)"), [.int64(Int64(number))], deadline: soon)
                            }
                        }
                        return try await group.reduce(into: Set<Int64>()) { $0.formUnion($1) }
                    }
                    #expect(numbers == Set(0..<20))
                    #expect(await slow?.code == .timeout)
                }
            }
        }

        @Test("What waits in the queue past its deadline is never sent")
        func waitingPastDeadline() async throws {
            try await withClient({
                $0.connections = 1
                $0.pipelineDepth = 1
            }) { client in
                try await client.execute(PostgresStatement("CREATE TABLE t (n int8)"), deadline: soon)
                try await eventually("the connection is free") { client.state().busy == 0 }
                async let slow: Int = client.execute(PostgresStatement("SELECT pg_sleep(0.3)"), deadline: soon)
                try await eventually("the connection is busy") { client.state().busy == 1 }
                let error = await failure {
                    try await client.execute(PostgresStatement("INSERT INTO t VALUES (1)"), deadline: .now + .milliseconds(20))
                }
                #expect(error?.code == .timeout)
                _ = try await slow
                #expect(try await client.query(.number("SELECT count(*) FROM t"), deadline: soon) == [0])
            }
        }

        @Test("Shutdown lets what is in flight finish, refuses what comes, and leaves no connection")
        func shutdown() async throws {
            try await withClient { observer in
                try await withClient({ $0.applicationName = "shut down" }) { client in
                    try await client.ping(deadline: soon)
                    try await eventually("the connection is free") { client.state().busy == 0 }
                    async let slow = client.query(.number("SELECT 5::int8 FROM pg_sleep(0.2)"), deadline: soon)
                    try await eventually("the statement runs") { client.state().busy == 1 }
                    await client.shutdown()
                    #expect(try await slow == [5])
                    #expect(await failure { try await client.ping(deadline: soon) }?.code == .shutdown)
                }
                try await eventually("the server has no connection left") {
                    try await observer.query(
                        .number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shut down'"), deadline: soon) == [0]
                }
            }
        }

        @Test("A client that is dropped without shutdown leaves no connection")
        func dropped() async throws {
            try await withClient { observer in
                var configuration = try configuration()
                configuration.applicationName = "dropped"
                try await PostgresClient(configuration, reactor: reactor).ping(deadline: soon)
                try await eventually("the server has no connection left") {
                    try await observer.query(
                        .number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dropped'"), deadline: soon) == [0]
                }
            }
        }

        @Test("A name is resolved, and one that cannot be fails at once")
        func names() async throws {
            try await withClient({ $0.host = "localhost" }) { try await $0.ping(deadline: soon) }
            var configuration = try configuration()
            configuration.host = "no-such-host.invalid"
            let client = PostgresClient(configuration, reactor: reactor)
            #expect(await failure { try await client.ping(deadline: soon) }?.code == .connection)
            await client.shutdown()
        }

        @Test("A wrong password is a connection error whose description keeps it")
        func wrongPassword() async throws {
            var configuration = try configuration()
            configuration.password = "not the password"
            let client = PostgresClient(configuration, reactor: reactor)
            let error = await failure { try await client.ping(deadline: soon) }
            #expect(error?.code == .connection)
            #expect(error.map { !$0.debugDescription.contains("not the password") } == true)
            await client.shutdown()
        }

        private func noStatementRuns(on client: PostgresClient) async throws {
            try await eventually("the statement ends") { try await running("deadline", client) == 0 }
        }

        private func running(_ mark: String, _ observer: PostgresClient) async throws -> Int64? {
            try await observer.query(
                .number("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%/* \(mark) */'"),
                deadline: soon
            ).first
        }
    }
}
