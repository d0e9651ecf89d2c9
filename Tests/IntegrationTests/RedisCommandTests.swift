import Glibc
import RedisClient
import Testing

extension RedisTests {
    @Test func everyByteSurvivesTheWayToTheServerAndBack() async throws {
        try await Self.withRedis { redis in
            let key = RedisArgument.bytes(Array(redis.prefix.utf8) + [0, 255, 13, 10])
            let value = (0...255).map { UInt8($0) } + Array("\r\n$-1\r\n".utf8)
            let stored = try await redis.send("SET", key, .bytes(value))
            #expect(stored == .status("OK"))
            #expect(try await redis.send("GET", key) == .string(value))
            #expect(try await redis.send("STRLEN", key) == .integer(Int64(value.count)))
        }
    }

    @Test func nothingIsNotTheEmptyString() async throws {
        try await Self.withRedis { redis in
            _ = try await redis.send("SET", redis.key("empty"), "")
            #expect(try await redis.send("GET", redis.key("empty")) == .string([]))
            #expect(try await redis.send("GET", redis.key("missing")) == .null)
            #expect(try await redis.send("MGET", redis.key("empty"), redis.key("missing")) == .array([.string([]), .null]))
        }
    }

    @Test func numbersArriveAsTheyWereGiven() async throws {
        try await Self.withRedis { redis in
            for number in [Int64.min, -1, 0, .max] {
                _ = try await redis.send("SET", redis.key("n"), .integer(number))
                #expect(try await redis.send("GET", redis.key("n")).int64 == number)
            }
            _ = try await redis.send("ZADD", redis.key("z"), .double(0.1), "a", .double(-1e300), "b", .double(.infinity), "c")
            #expect(try await redis.send("ZSCORE", redis.key("z"), "a").text.flatMap { Double($0) } == 0.1)
            #expect(try await redis.send("ZSCORE", redis.key("z"), "b").text.flatMap { Double($0) } == -1e300)
            #expect(try await redis.send("ZSCORE", redis.key("z"), "c").text == "inf")
        }
    }

    @Test func anErrorInAPipelineStaysInItsPlace() async throws {
        try await Self.withRedis { redis in
            let key = redis.key("k")
            let replies = try await redis.client.send(
                [RedisCommand("SET", key, "1"), RedisCommand("LPUSH", key, "x"), RedisCommand("INCR", key)], deadline: Self.soon)
            #expect(replies.count == 3 && replies[0] == .status("OK") && replies[2] == .integer(2))
            guard case .error(let message) = replies[1] else { throw Unavailable(description: "no error in the middle") }
            #expect(message.hasPrefix("WRONGTYPE "))
            #expect(try await redis.client.send([], deadline: Self.soon).isEmpty)
        }
    }

    @Test func aTransactionInOnePipelineAnswersItsResultsTogether() async throws {
        try await Self.withRedis { redis in
            let commands = [
                RedisCommand("MULTI"), RedisCommand("INCR", redis.key("n")), RedisCommand("INCR", redis.key("n")), RedisCommand("EXEC"),
            ]
            let outcomes = await Self.concurrently(50) { _ in try await redis.client.send(commands, deadline: Self.soon) }
            for outcome in outcomes {
                let numbers = try outcome.get()[3].elements?.compactMap(\.int64) ?? []
                #expect(numbers.count == 2 && numbers[1] == numbers[0] + 1, "another caller's commands came in between")
            }
        }
    }

    @Test func errorsCarryTheServersPrefix() async throws {
        try await Self.withRedis { redis in
            _ = try await redis.send("SET", redis.key("k"), "text")
            #expect(try await Self.failure { try await redis.send("LPUSH", redis.key("k"), "x") } == .server(prefix: "WRONGTYPE"))
            #expect(try await Self.failure { try await redis.send("NOSUCHCOMMAND") } == .server(prefix: "ERR"))
            #expect(try await Self.failure { try await redis.client.send(RedisCommand([]), deadline: Self.soon) } == .server(prefix: "ERR"))
            for prefix in ["LOADING", "READONLY", "MISCONF", "OOM"] {
                let script = "return redis.error_reply('\(prefix) as the server would say')"
                #expect(try await Self.failure { try await redis.send("EVAL", .text(script), 0) } == .server(prefix: prefix))
            }
        }
    }

    @Test func aScriptRunsAlsoWhereTheServerHasForgottenIt() async throws {
        try await Self.withRedis { redis in
            let script = RedisScript("redis.call('SET', KEYS[1], ARGV[1]) return {redis.call('GET', KEYS[1]), ARGV[2] + 1, {}}")
            for _ in 0..<3 {
                _ = try await redis.send("SCRIPT", "FLUSH")
                for _ in 0..<2 {
                    let reply = try await redis.client.evaluate(
                        script, keys: [redis.prefix + "k"], arguments: [.bytes([0, 255]), 41], deadline: Self.soon)
                    #expect(reply == .array([.string([0, 255]), .integer(42), .array([])]))
                }
            }
            let reply = try await redis.client.evaluate(
                script, binaryKeys: [Array(redis.prefix.utf8) + [0xFF]], arguments: ["x", 1], deadline: Self.soon)
            #expect(reply.elements?.first == .string([0x78]))
        }
    }

    @Test func aScriptsOwnErrorIsTheServers() async throws {
        try await Self.withRedis { redis in
            let script = RedisScript("return redis.error_reply('NOTMINE go away')")
            for _ in 0..<2 {
                let code = try await Self.failure {
                    try await redis.client.evaluate(script, keys: [], arguments: [], deadline: Self.soon)
                }
                #expect(code == .server(prefix: "NOTMINE"))
            }
        }
    }

    @Test func oneOfManyTakesTheLeaseAndTheOthersSeeItsToken() async throws {
        try await Self.withRedis { redis in
            let outcomes = await Self.concurrently(100) { number in
                try await redis.send("SET", redis.key("lease"), .integer(Int64(number)), "NX", "GET", "PX", 30_000)
            }
            let replies = try outcomes.map { try $0.get() }
            let winner = try #require(replies.firstIndex { $0.isNull })
            #expect(replies.count { $0.isNull } == 1)
            #expect(replies.allSatisfy { $0.isNull || $0.int64 == Int64(winner) })
        }
    }

    @Test func aReplyOfEightMebibytesArrivesWhole() async throws {
        try await Self.withRedis { redis in
            var value = [UInt8](repeating: 0, count: 8 << 20)
            for index in value.indices { value[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 13) }
            _ = try await redis.send("SET", redis.key("big"), .bytes(value))
            let outcomes = await Self.concurrently(4) { _ in try await redis.send("GET", redis.key("big")) }
            for outcome in outcomes { #expect(try outcome.get().bytes == value) }
            #expect(try await redis.send("ECHO", "after") == .string(Array("after".utf8)))
        }
    }

    @Test func aReplyOverTheLimitFailsAndTheClientGoesOn() async throws {
        try await Self.withRedis { configuration in
            configuration.replyLimit = 1 << 20
        } _: { redis in
            _ = try await redis.send("SET", redis.key("big"), .bytes([UInt8](repeating: 1, count: 2 << 20)))
            #expect(try await Self.failure { try await redis.send("GET", redis.key("big")) } == .protocolViolation)
            try await eventually("the connection is made again") { redis.client.state().isConnected }
            #expect(try await redis.send("STRLEN", redis.key("big")) == .integer(2 << 20))
        }
    }

    @Test func aReplyNestedTooDeepFailsAndTheClientGoesOn() async throws {
        try await Self.withRedis { redis in
            #expect(try await redis.send("EVAL", "return {{{{{{{1}}}}}}}", 0).elements?.count == 1)
            #expect(try await Self.failure { try await redis.send("EVAL", "return {{{{{{{{{1}}}}}}}}}", 0) } == .protocolViolation)
            try await eventually("the connection is made again") { redis.client.state().isConnected }
            #expect(try await redis.send("PING") == .status("PONG"))
        }
    }

    @Test(arguments: [1, 3]) func aThousandCallersShareFewConnectionsAndEachGetsItsOwnAnswer(connections: Int) async throws {
        try await Self.withRedis { configuration in
            configuration.connections = connections
        } _: { redis async throws in
            let outcomes = await Self.concurrently(1200) { number in
                let key = redis.key("\(number)")
                var values: [RedisValue] = []
                for turn in 0..<10 {
                    _ = try await redis.send("SET", key, .integer(Int64(number * 100 + turn)))
                    values.append(try await redis.send("GET", key))
                }
                return values
            }
            for (number, outcome) in outcomes.enumerated() {
                #expect(try outcome.get().map(\.int64) == (0..<10).map { Int64(number * 100 + $0) })
            }
            #expect(redis.client.state().connections == connections)
            #expect(redis.client.state().inFlight == 0)
        }
    }

    @Test func theChosenDatabaseIsUsed() async throws {
        try await Self.withRedis { configuration in
            configuration.database = 5
        } _: { redis in
            _ = try await redis.send("SET", redis.key("here"), "1")
            #expect(try await redis.send("CLIENT", "INFO").text?.contains(" db=5 ") == true)
            _ = try await redis.send("DEL", redis.key("here"))
        }
    }

    @Test func aRefusedLoginIsToldAsWhyThereIsNoConnection() async throws {
        try await Self.withRedis { configuration in
            (configuration.username, configuration.password) = ("nobody", "wrong")
        } _: { redis async throws in
            #expect(try await Self.failure { try await redis.client.ping(deadline: Self.soon) } == .connection)
            #expect(redis.events.openFailure?.code == .server(prefix: "WRONGPASS"))
        }
    }

    @Test func aNameIsResolvedOffTheReactor() async throws {
        try await Self.withRedis { configuration in
            configuration.host = "localhost"
        } _: { redis in
            try await redis.client.ping(deadline: Self.soon)
        }
        try await Self.withRedis { configuration in
            configuration.host = "no-such-host.invalid"
        } _: { redis async throws in
            #expect(try await Self.failure { try await redis.client.ping(deadline: Self.soon) } == .connection)
        }
    }

    @Test func shutdownLetsCallsFinishAndRefusesNewOnes() async throws {
        try await Self.withRedis { redis in
            try await redis.client.ping(deadline: Self.soon)
            async let outcomes = Self.concurrently(200) { number in try await redis.send("ECHO", .integer(Int64(number))) }
            await Task.yield()
            await redis.client.shutdown()
            for outcome in await outcomes {
                if case .failure(let error as RedisError) = outcome { #expect(error.code == .shutdown) }
            }
            #expect(try await Self.failure { try await redis.send("PING") } == .shutdown)
            #expect(redis.client.state().connections == 0)
            await redis.client.shutdown()
        }
    }
}
