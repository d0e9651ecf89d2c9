import Glibc
import RedisClient
import Testing

extension RedisTests {
    @Test func aCallEndsByItsDeadlineAndItsLateReplyIsNobodysElse() async throws {
        try await Self.withProxiedRedis { configuration in
            configuration.breaker.failures = 1000
        } _: { redis, proxy, _ async throws in
            proxy.stall(.answers)
            let begun = ContinuousClock.now
            let outcomes = await Self.concurrently(20) { number in
                try await redis.client.send(RedisCommand("ECHO", .integer(Int64(number))), deadline: begun + .milliseconds(50))
            }
            #expect(begun.duration(to: .now) < .seconds(2))
            for outcome in outcomes {
                #expect(throws: RedisError.self) { try outcome.get() }
                if case .failure(let error as RedisError) = outcome { #expect(error.code == .timeout) }
            }
            async let next = redis.send("ECHO", "mine")
            proxy.resume()
            #expect(try await next == .string(Array("mine".utf8)))
            #expect(redis.events.lost == 0)
        }
    }

    @Test func aDeadlineThatHasPassedSendsNothing() async throws {
        try await Self.withRedis { redis async throws in
            #expect(
                try await Self.failure { try await redis.client.send(RedisCommand("INCR", redis.key("n")), deadline: .now) } == .timeout)
            #expect(try await redis.send("GET", redis.key("n")).isNull)
        }
    }

    @Test func aCancelledCallEndsAtOnceAndItsReplyIsDropped() async throws {
        try await Self.withProxiedRedis { redis, proxy, direct in
            proxy.stall(.answers)
            let task = Task { try await redis.send("SET", redis.key("n"), "cancelled") }
            try await eventually("the server has the command") { try await !direct.send("GET", redis.key("n")).isNull }
            let begun = ContinuousClock.now
            task.cancel()
            #expect(try await Self.failure { try await task.value } == .cancelled)
            #expect(begun.duration(to: .now) < .seconds(2))
            #expect(redis.client.state().inFlight == 1, "its place is kept until the reply has come")
            proxy.resume()
            #expect(try await redis.send("ECHO", "mine") == .string(Array("mine".utf8)))
            #expect(redis.client.state().inFlight == 0)
        }
    }

    @Test func aTaskThatIsCancelledBeforeSendsNothing() async throws {
        try await Self.withRedis { redis async throws in
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await redis.send("INCR", redis.key("n"))
            }
            #expect(try await Self.failure { try await task.value } == .cancelled)
            #expect(try await redis.send("GET", redis.key("n")).isNull)
        }
    }

    @Test func aCutFailsExactlyWhatWasOnItsWay() async throws {
        try await Self.withProxiedRedis { redis, proxy, direct in
            #expect(try await redis.send("ECHO", "before") == .string(Array("before".utf8)))
            proxy.stall(.answers)
            let increment = RedisCommand("INCR", redis.key("n"))
            async let outcomes = Self.concurrently(50) { number in
                try await redis.client.send(Array(repeating: increment, count: number.isMultiple(of: 2) ? 1 : 2), deadline: Self.soon)
            }
            try await eventually("the server has all of them") { try await direct.send("GET", redis.key("n")).text == "75" }
            proxy.cutAll()
            proxy.resume()
            for outcome in await outcomes {
                guard case .failure(let error as RedisError) = outcome else { throw Unavailable(description: "answered by nobody") }
                #expect(error.code == .connection)
            }
            #expect(redis.events.lost == 1)
            try await eventually("the connection is made again") { redis.client.state().isConnected }
            #expect(try await redis.send("ECHO", "after") == .string(Array("after".utf8)))
            #expect(redis.client.state().inFlight == 0)
        }
    }

    @Test func theServerMayKillAConnection() async throws {
        try await Self.withProxiedRedis { configuration in
            configuration.clientName = "victim"
        } _: { redis, _, direct in
            let clients = try await direct.send("CLIENT", "LIST").text ?? ""
            let line = try #require(clients.split(separator: "\n").first { $0.contains(" name=victim ") })
            let identifier = try #require(line.split(separator: " ").first { $0.hasPrefix("id=") }?.dropFirst(3))
            _ = try await direct.send("CLIENT", "KILL", "ID", .text(String(identifier)))
            try await eventually("it is noticed") { redis.events.lost == 1 }
            try await eventually("the connection is made again") { redis.client.state().isConnected }
            #expect(try await redis.send("PING") == .status("PONG"))
        }
    }

    @Test func withoutAServerCallsFailAtOnceAndItHealsByItself() async throws {
        try await Self.withProxiedRedis { redis, proxy, _ in
            proxy.refuse()
            proxy.cutAll()
            try await eventually("the loss is noticed") { !redis.client.state().isConnected }
            let begun = ContinuousClock.now
            for _ in 0..<1000 {
                let code = try await Self.failure { try await redis.send("PING") }
                #expect(code == .connection || code == .breakerOpen)
            }
            #expect(begun.duration(to: .now) < .seconds(2))
            proxy.accept()
            try await eventually("it heals") { redis.client.state().isConnected }
            #expect(try await redis.send("PING") == .status("PONG"))
        }
    }

    @Test func aServerThatSpeaksSomethingElseIsNoConnection() async throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                try #require(bind(listener, address, length) == 0 && listen(listener, 8) == 0)
                try #require(getsockname(listener, address, &length) == 0)
            }
        }
        let port = Int(UInt16(bigEndian: address.sin_port))
        let server = Task.detached {
            let connection = accept(listener, nil, nil)
            let greeting = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
            _ = send(connection, greeting, greeting.count, Int32(MSG_NOSIGNAL))
            return connection
        }
        try await Self.withRedis { configuration in
            (configuration.host, configuration.port) = ("127.0.0.1", port)
        } _: { redis async throws in
            #expect(try await Self.failure { try await redis.client.ping(deadline: Self.soon) } == .protocolViolation)
            #expect(redis.events.openFailure?.code == .protocolViolation)
        }
        close(await server.value)
    }

    @Test func callsWaitForTheFirstConnection() async throws {
        try await Self.withRedis { redis async throws in
            let outcomes = await Self.concurrently(100) { number in try await redis.send("ECHO", .integer(Int64(number))) }
            for (number, outcome) in outcomes.enumerated() { #expect(try outcome.get().int64 == Int64(number)) }
        }
    }

    @Test func aFrozenServerCostsFewCallersTheirDeadlineAndThenNobody() async throws {
        try await Self.withProxiedRedis { configuration in
            configuration.breaker = RedisBreakerPolicy(failures: 5, delay: .milliseconds(50)...(.milliseconds(200)))
        } _: { redis, proxy, _ in
            proxy.stall()
            var timeouts = 0
            while redis.events.breakerOpened == 0 {
                let code = try await Self.failure {
                    try await redis.client.send(RedisCommand("PING"), deadline: .now + .milliseconds(20))
                }
                if code == .timeout { timeouts += 1 }
            }
            #expect(timeouts == 5)
            let begun = ContinuousClock.now
            let outcomes = await Self.concurrently(1000) { _ in try await redis.send("PING") }
            #expect(begun.duration(to: .now) < .seconds(2))
            for outcome in outcomes {
                if case .failure(let error as RedisError) = outcome {
                    #expect(error.code == .breakerOpen)
                } else {
                    Issue.record("answered")
                }
            }
            #expect(redis.client.state().isBreakerOpen)
            proxy.resume()
            try await eventually("a probe closes it") { redis.events.breakerClosed == 1 }
            #expect(try await redis.send("ECHO", "mine") == .string(Array("mine".utf8)))
            #expect(redis.events.lost == 0)
        }
    }

    @Test func aConnectionThatStaysSilentIsMadeAnew() async throws {
        try await Self.withProxiedRedis { configuration in
            configuration.stallTimeout = .milliseconds(200)
            configuration.breaker = RedisBreakerPolicy(
                failures: 2, delay: .milliseconds(20)...(.milliseconds(40)), probeTimeout: .milliseconds(20))
        } _: { redis, proxy, _ in
            proxy.stall()
            while redis.events.lost == 0 { _ = try? await redis.client.send(RedisCommand("PING"), deadline: .now + .milliseconds(20)) }
            proxy.cutAll()
            proxy.resume()
            try await eventually("it heals") { redis.client.state().isConnected }
            #expect(try await redis.send("PING") == .status("PONG"))
        }
    }

    @Test func aFullConnectionAnswersAtOnce() async throws {
        try await Self.withProxiedRedis { configuration in
            configuration.inFlightLimit = 64
        } _: { redis, proxy, _ in
            proxy.stall(.answers)
            async let waiting = Self.concurrently(64) { _ in try await redis.send("PING") }
            try await eventually("it is full") { redis.client.state().inFlight == 64 }
            let begun = ContinuousClock.now
            let refused = await Self.concurrently(1000) { _ in try await redis.send("PING") }
            #expect(begun.duration(to: .now) < .seconds(2))
            for outcome in refused {
                if case .failure(let error as RedisError) = outcome { #expect(error.code == .queueFull) } else { Issue.record("taken") }
            }
            proxy.resume()
            for outcome in await waiting { #expect(try outcome.get() == .status("PONG")) }
            #expect(try await redis.send("PING") == .status("PONG"), "there is room again")
        }
    }

    @Test func bytesOnTheirWayAreBoundedToo() async throws {
        try await Self.withProxiedRedis { configuration in
            configuration.inFlightBytes = 1 << 20
        } _: { redis, proxy, _ in
            let value = RedisArgument.bytes([UInt8](repeating: 1, count: 600 << 10))
            proxy.stall()
            async let first = redis.send("SET", redis.key("a"), value)
            try await eventually("the first is on its way") { redis.client.state().inFlight == 1 }
            #expect(try await Self.failure { try await redis.send("SET", redis.key("b"), value) } == .queueFull)
            proxy.resume()
            #expect(try await first == .status("OK"))
            let larger = RedisArgument.bytes([UInt8](repeating: 1, count: 2 << 20))
            #expect(try await redis.send("SET", redis.key("c"), larger) == .status("OK"), "one alone may be larger")
        }
    }
}
