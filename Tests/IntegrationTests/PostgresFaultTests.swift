import Glibc
import PostgresClient
import Testing

extension PostgresTests {
    /// Connections that are cut, frozen and refused, and servers that kill them.
    @Suite(.serialized) struct Faults {
        @Test("After all connections are cut, what was in flight fails, and the client heals by itself")
        func cutAll() async throws {
            try await withProxiedClient({ $0.pipelineDepth = 10 }) { client, proxy, _ in
                try await eventually("all connections are open") { client.state().open == 4 }
                let outcomes = await withTaskGroup(of: PostgresError?.self, returning: [PostgresError?].self) { group in
                    for _ in 0..<41 {
                        group.addTask {
                            await failure(orNone: true) {
                                try await client.execute(PostgresStatement("SELECT pg_sleep(2)"), deadline: soon)
                            }
                        }
                    }
                    try? await eventually("forty are in flight") { client.state().waiting == 1 }
                    proxy.cutAll()
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(
                    outcomes.count { $0?.code == .connection && $0?.isUnavailable == true } >= 40,
                    "one may have waited for a new connection")
                try await heals(client)
                try await eventually("all connections are back") { client.state().open == 4 }
            }
        }

        @Test("A connection that the server kills fails exactly what was in flight on it")
        func killed() async throws {
            try await withClient({ $0.pipelineDepth = 2 }) { client in
                try await withClient { observer in
                    let pids = PostgresStatement<Int64>.number("SELECT pg_backend_pid() FROM pg_sleep(0.5)")
                    let victims = PostgresStatement<Int64>.number(
                        """
                        SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_backend_pid() FROM pg_sleep%' LIMIT 1
                        """)
                    try await eventually("all connections are open") { client.state().open == 4 }
                    let (answered, failed) = try await withThrowingTaskGroup(of: Result<[Int64], any Error>.self) { group in
                        for _ in 0..<9 {
                            group.addTask {
                                do { return .success(try await client.query(pids, deadline: soon)) } catch { return .failure(error) }
                            }
                        }
                        try await eventually("eight are in flight") { client.state().waiting == 1 }
                        var victim: [Int64] = []
                        try await eventually("one is found") {
                            victim = try await observer.query(victims, deadline: soon)
                            return !victim.isEmpty
                        }
                        try await observer.execute(
                            PostgresStatement("SELECT pg_terminate_backend($1)"), [.int32(Int32(victim[0]))], deadline: soon)
                        var (answered, failed) = ([Int64](), 0)
                        for try await outcome in group {
                            switch outcome {
                            case .success(let rows): answered += rows
                            case .failure(let error):
                                #expect((error as? PostgresError)?.code == .connection)
                                failed += 1
                            }
                        }
                        #expect(!answered.contains(victim[0]))
                        return (answered, failed)
                    }
                    #expect(failed == 2 && answered.count == 7, "two on each of four connections, and one that waited")
                    try await eventually("the lost one is back") { client.state().open == 4 }
                }
            }
        }

        @Test("While no connection can be made callers fail at once; when it can, they are served without a restart")
        func refused() async throws {
            try await withProxiedClient { client, proxy, _ in
                try await client.ping(deadline: soon)
                proxy.refuse()
                proxy.cutAll()
                try await eventually("the client has noticed") { client.state().open == 0 }
                try await eventually("an attempt has failed") {
                    let begun = ContinuousClock.now
                    let error = await failure { try await client.ping(deadline: .now + .seconds(5)) }
                    return error?.code == .connection && .now - begun < .milliseconds(100)
                }
                proxy.accept()
                try await heals(client)
            }
        }

        @Test("A frozen server costs each caller its deadline and no more, and healing needs no restart")
        func frozen() async throws {
            try await withProxiedClient({
                $0.stallTimeout = .milliseconds(300)
                $0.connectTimeout = .milliseconds(300)
            }) { client, proxy, _ in
                try await client.ping(deadline: soon)
                proxy.stall()
                for _ in 0..<3 {
                    let begun = ContinuousClock.now
                    let error = await failure { try await client.ping(deadline: begun + .milliseconds(200)) }
                    #expect(error?.code == .timeout || error?.code == .connection)
                    #expect(.now - begun < .milliseconds(600))
                }
                try await eventually("the silent connections are given up") { client.state().open < 4 }
                proxy.resume()
                try await heals(client)
            }
        }

        @Test("A short freeze costs no connection: what had to wait is answered")
        func shortFreeze() async throws {
            try await withProxiedClient({ $0.connections = 1 }) { client, proxy, _ in
                let before = try await client.query(.number("SELECT pg_backend_pid()"), deadline: soon)
                proxy.stall()
                async let held = client.query(.number("SELECT 5::int8"), deadline: soon)
                try await eventually("it is in flight") { client.state().busy == 1 }
                proxy.resume()
                #expect(try await held == [5])
                #expect(try await client.query(.number("SELECT pg_backend_pid()"), deadline: soon) == before)
            }
        }

        @Test("A server process that is stopped (SIGSTOP) costs the deadline; continued, the client is as before")
        func stoppedServer() async throws {
            guard let text = getenv("KABABEAT_TEST_POSTGRES_PID"), let postmaster = pid_t(String(cString: text)) else { return }
            try await withClient({ $0.connections = 1 }) { client in
                let pids = try await client.query(.number("SELECT pg_backend_pid()"), deadline: soon)
                let backend = try #require(pids.first.map { pid_t($0) })
                kill(backend, SIGSTOP)
                kill(postmaster, SIGSTOP)
                let begun = ContinuousClock.now
                let error = await failure { try await client.ping(deadline: begun + .milliseconds(200)) }
                let took = ContinuousClock.now - begun
                kill(postmaster, SIGCONT)
                kill(backend, SIGCONT)
                #expect(error?.code == .timeout && took < .seconds(1))
                try await heals(client)
            }
        }

        @Test("When the connection is cut at COMMIT, the outcome is said to be unknown", arguments: [true, false])
        func commitUnknown(arrives: Bool) async throws {
            try await withProxiedClient { client, proxy, observer in
                try await observer.execute(PostgresStatement("CREATE TABLE public.commit_unknown (n int8)"), deadline: soon)
                let error = await failure {
                    try await client.transaction(deadline: soon) { transaction in
                        try await transaction.execute(PostgresStatement("INSERT INTO public.commit_unknown VALUES (1)"))
                        proxy.stall(arrives ? .answers : .both)
                        Task {
                            let committed = PostgresStatement<Int64>.number("SELECT count(*) FROM public.commit_unknown")
                            if arrives {
                                try await eventually("the server has committed") {
                                    try await observer.query(committed, deadline: soon) == [1]
                                }
                            } else {
                                // By then the COMMIT has left, and has got no further than the proxy.
                                try await Task.sleep(for: .milliseconds(100))
                            }
                            proxy.cutAll()
                        }
                    }
                }
                #expect(error?.code == .commitUnknown && error?.stage == .commit && error?.isRetriable == false)
                proxy.resume()
                try await heals(client)
                let rows = try await client.query(.number("SELECT count(*) FROM public.commit_unknown"), deadline: soon)
                #expect(rows == [arrives ? 1 : 0])
                try await observer.execute(PostgresStatement("DROP TABLE public.commit_unknown"), deadline: soon)
            }
        }

        @Test("A COMMIT unanswered by the deadline is unknown too")
        func commitDeadline() async throws {
            try await withProxiedClient({ $0.stallTimeout = .milliseconds(200) }) { client, proxy, _ in
                let error = await failure {
                    try await client.transaction(deadline: .now + .milliseconds(300)) { transaction in
                        try await transaction.execute(PostgresStatement("CREATE TABLE t (n int8)"))
                        proxy.stall(.answers)
                    }
                }
                #expect(error?.code == .commitUnknown)
                proxy.resume()
                try await heals(client)
            }
        }

        @Test("A transaction whose connection is lost fails, is not committed, and its lease is given up")
        func lostInTransaction() async throws {
            try await withProxiedClient { client, proxy, observer in
                try await observer.execute(PostgresStatement("CREATE TABLE public.lost (n int8)"), deadline: soon)
                let insert = PostgresStatement<Void>("INSERT INTO public.lost VALUES (1)")
                let error = await failure {
                    try await client.transaction(deadline: soon) { transaction in
                        try await transaction.execute(insert)
                        proxy.cutAll()
                        try await transaction.execute(insert)
                    }
                }
                #expect(error?.code == .connection)
                try await heals(client)
                #expect(try await observer.query(.number("SELECT count(*) FROM public.lost"), deadline: soon) == [0])
                try await observer.execute(PostgresStatement("DROP TABLE public.lost"), deadline: soon)
            }
        }

        @Test("Cut again and again under load, the client loses no caller and heals")
        func cutUnderLoad() async throws {
            try await withProxiedClient { client, proxy, _ in
                let end = ContinuousClock.now + .seconds(2)
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for caller in 0..<64 {
                        group.addTask {
                            var served = 0
                            while .now < end {
                                do {
                                    let value = Int64(caller)
                                    #expect(try await client.query(.number("SELECT $1::int8"), [.int64(value)], deadline: soon) == [value])
                                    served += 1
                                } catch let error as PostgresError {
                                    #expect(error.isUnavailable)
                                    // Callers come back, and not in a spin that leaves the client no time to heal.
                                    try await Task.sleep(for: .milliseconds(5))
                                }
                            }
                            return served
                        }
                    }
                    for _ in 0..<8 {
                        // Long enough for connections to be made again, and be cut in use.
                        try await Task.sleep(for: .milliseconds(200))
                        proxy.cutAll()
                    }
                    #expect(try await group.reduce(0, +) > 0)
                }
                try await heals(client)
            }
        }

        @Test("A server that takes no writes is left for one that does, and what asked it may be asked again")
        func readOnly() async throws {
            try await withClient({ $0.connections = 1 }) { client in
                let pid = PostgresStatement<Int64>.number("SELECT pg_backend_pid()")
                let create = PostgresStatement<Void>("CREATE TABLE written (n int8)")
                let before = try await client.query(pid, deadline: soon)
                // For the session, as a server that has become a standby has it for all.
                try await client.execute(PostgresStatement("SET default_transaction_read_only = on"), deadline: soon)
                let error = await failure { try await client.execute(create, deadline: soon) }
                #expect(error?.sqlState == "25006" && error?.isUnavailable == true && error?.isRetriable == true)
                try await client.execute(create, deadline: soon)
                let between = try await client.query(pid, deadline: soon)
                #expect(between != before)
                try await client.execute(PostgresStatement("SET default_transaction_read_only = on"), deadline: soon)
                let insert = PostgresStatement<Void>("INSERT INTO written VALUES (1)")
                let other = await failure { try await client.transaction(deadline: soon) { try await $0.execute(insert) } }
                #expect(other?.sqlState == "25006")
                try await client.transaction(deadline: soon) { _ = try await $0.execute(insert) }
                #expect(try await client.query(pid, deadline: soon) != between)
            }
        }

        @Test("A first server that refuses or says nothing is passed over for the next one", arguments: [true, false])
        func nextServer(refuses: Bool) async throws {
            let real = try configuration()
            try await withProxiedClient({
                $0.connectTimeout = .milliseconds(300)
                $0.standbys = [.init(host: real.host, port: real.port)]
            }) { client, proxy, _ in
                try await client.ping(deadline: soon)
                if refuses { proxy.refuse() } else { proxy.stall() }
                proxy.cutAll()
                try await heals(client)
                try await eventually("all connections are back") { client.state().open == 4 }
            }
        }

        /// The client answers again, by itself, within the longest wait between two attempts and some.
        private func heals(_ client: PostgresClient, sourceLocation: SourceLocation = #_sourceLocation) async throws {
            try await eventually(within: .seconds(8), "the client heals", sourceLocation: sourceLocation) {
                (try? await client.ping(deadline: .now + .seconds(1))) != nil
            }
        }
    }
}
