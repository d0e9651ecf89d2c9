import Reactor
import RedisClient
import Synchronization

/// Exercises the Redis client for about `seconds`: commands, pipelines, scripts, errors, deadlines, cancellation, subscriptions, killed
/// connections, a frozen server, and clients that come and go. Built with a sanitizer it finds leaks and races; it also prints what was
/// done.
///
/// `connection` is `host:port` of a throwaway server.
func checkRedis(connection: String, seconds: Int) async throws {
    let parts = connection.split(separator: ":")
    guard parts.count == 2, let port = Int(parts[1]) else { throw CheckFailure(what: "not a connection: host:port") }
    let reactor = Reactor(name: "drivercheck-re")
    var configuration = RedisConfiguration(host: String(parts[0]), port: port, clientName: "drivercheck", connections: 2)
    configuration.reconnectDelay = .milliseconds(5)...(.milliseconds(50))
    let check = RedisCheck(configuration: configuration, reactor: reactor)
    let begun = ContinuousClock.now
    try await check.exercise(until: begun + .seconds(seconds) / 2)
    print("redis: \(check.counts)")
    for callers in [1, 64, 256] {
        let (count, elapsed) = try await check.reads(callers: callers, for: .seconds(seconds) / 6)
        print("redis: \(count) GETs, \(Int(Double(count) / (elapsed / .seconds(1)))) per second, \(callers) callers")
    }
    await check.shutdown()
    reactor.shutdown()
    print("redis: done")
}

private struct CheckFailure: Error { let what: String }

private final class RedisCheck: Sendable {
    private let configuration: RedisConfiguration
    private let reactor: Reactor
    private let client: RedisClient
    private let prefix = "drivercheck:\(UInt32.random(in: .min ... .max)):"
    private let done = Mutex<[String: Int]>([:])

    init(configuration: RedisConfiguration, reactor: Reactor) {
        self.configuration = configuration
        self.reactor = reactor
        client = RedisClient(configuration, reactor: reactor)
    }

    var counts: String {
        done.withLock { $0.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ") }
    }

    private var soon: ContinuousClock.Instant { .now + .seconds(20) }

    private var freshKey: RedisArgument { .text("\(prefix)\(UInt64.random(in: .min ... .max))") }

    func shutdown() async { await client.shutdown() }

    // MARK: Everything, side by side

    func exercise(until end: ContinuousClock.Instant) async throws {
        let exercises: [(String, @Sendable (RedisCheck, Int) async throws -> Void)] = [
            ("values", { try await $0.values($1) }),
            ("large values", { try await $0.largeValue($1) }),
            ("pipelines", { try await $0.pipeline($1) }),
            ("scripts", { try await $0.script($1) }),
            ("refusals", { try await $0.refusals($1) }),
            ("deadlines", { try await $0.deadline($1) }),
            ("cancellations", { try await $0.cancellation($1) }),
            ("subscriptions", { try await $0.subscription($1) }),
            ("kills", { try await $0.kill($1) }),
            ("pauses", { try await $0.pause($1) }),
            ("clients", { try await $0.clientLife($1) }),
        ]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<24 {
                group.addTask {
                    var turn = worker
                    while .now < end {
                        let (name, body) = exercises[turn % exercises.count]
                        do {
                            try await body(self, turn)
                            self.done.withLock { $0[name, default: 0] += 1 }
                        } catch let error as RedisError where error.isUnavailable {
                            // Another worker kills connections and freezes the server.
                            self.done.withLock { $0["unavailable", default: 0] += 1 }
                        }
                        turn += 1
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func expect(_ condition: Bool, _ what: String) throws {
        if !condition { throw CheckFailure(what: what) }
    }

    private func values(_ turn: Int) async throws {
        let key = freshKey
        let bytes = (0...255).map { UInt8($0) } + Array("\r\n$-1\r\n".utf8)
        _ = try await client.send(RedisCommand("SET", key, .bytes(bytes), "PX", 60_000), deadline: soon)
        try expect(try await client.send(RedisCommand("GET", key), deadline: soon) == .string(bytes), "a value came back wrong")
        try expect(try await client.send(RedisCommand("DEL", key), deadline: soon) == .integer(1), "a key was not deleted")
        try expect(try await client.send(RedisCommand("GET", key), deadline: soon).isNull, "a deleted key was found")
    }

    private func largeValue(_ turn: Int) async throws {
        let key = freshKey
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: turn), count: 1 << 20)
        let replies = try await client.send(
            [RedisCommand("SET", key, .bytes(bytes)), RedisCommand("GET", key), RedisCommand("DEL", key)], deadline: soon)
        try expect(replies == [.status("OK"), .string(bytes), .integer(1)], "a large value came back wrong")
    }

    private func pipeline(_ turn: Int) async throws {
        let key = freshKey
        var commands = (0..<50).map { RedisCommand("RPUSH", key, .integer($0)) }
        commands += [RedisCommand("INCR", key), RedisCommand("LRANGE", key, 0, -1), RedisCommand("DEL", key)]
        let replies = try await client.send(commands, deadline: soon)
        guard case .error(let message) = replies[50] else { throw CheckFailure(what: "no error in its place") }
        try expect(message.hasPrefix("WRONGTYPE") && replies[51].elements?.count == 50, "a pipeline came back wrong")
    }

    private func script(_ turn: Int) async throws {
        let script = RedisScript("return {KEYS[1], ARGV[1] + \(turn % 100), {1, 'two', {}}}")
        if turn.isMultiple(of: 5) { _ = try await client.send(RedisCommand("SCRIPT", "FLUSH"), deadline: soon) }
        let reply = try await client.evaluate(script, keys: ["k"], arguments: [1], deadline: soon)
        let nested = RedisValue.array([.integer(1), .string(Array("two".utf8)), .array([])])
        try expect(reply == .array([.string([0x6B]), .integer(Int64(1 + turn % 100)), nested]), "a script came back wrong")
    }

    private func refusals(_ turn: Int) async throws {
        for command in [RedisCommand("NOSUCH"), RedisCommand([]), RedisCommand("GET"), RedisCommand("EVAL", "error('x')", 0)] {
            do {
                _ = try await client.send(command, deadline: soon)
                throw CheckFailure(what: "a bad command was taken")
            } catch let error as RedisError {
                guard case .server = error.code else { throw error }
            }
        }
    }

    private func deadline(_ turn: Int) async throws {
        do {
            _ = try await client.send(RedisCommand("GET", "x"), deadline: .now + .microseconds(turn % 7 * 50))
        } catch {
            guard error.code == .timeout else { throw error }
        }
    }

    private func cancellation(_ turn: Int) async throws {
        let (client, soon) = (client, soon)
        let task = Task { try await client.send(RedisCommand("ECHO", "x"), deadline: soon) }
        if turn.isMultiple(of: 2) { await Task.yield() }
        task.cancel()
        do {
            _ = try await task.value
        } catch let error as RedisError where error.code == .cancelled {}
    }

    private func subscription(_ turn: Int) async throws {
        let channel = "\(prefix)channel:\(UInt64.random(in: .min ... .max))"
        let heard = Task { try await hearOne(channel) }
        // A publication may have been lost with its connection; nobody repeats it then.
        try await Task.sleep(for: .milliseconds(20))
        heard.cancel()
        _ = await heard.result
    }

    private func hearOne(_ channel: String) async throws {
        for await event in client.subscribe(channels: [channel]) {
            switch event {
            case .subscribed: _ = try await client.send(RedisCommand("PUBLISH", .text(channel), "hello"), deadline: soon)
            case .message: return
            case .gap: continue
            }
        }
    }

    private func kill(_ turn: Int) async throws {
        guard turn.isMultiple(of: 7) else { return }
        _ = try await client.send(RedisCommand("CLIENT", "KILL", "TYPE", "pubsub"), deadline: soon)
        _ = try await client.send(RedisCommand("CLIENT", "KILL", "TYPE", "normal"), deadline: soon)
    }

    private func pause(_ turn: Int) async throws {
        guard turn.isMultiple(of: 13) else { return }
        _ = try await client.send(RedisCommand("CLIENT", "PAUSE", 20, "ALL"), deadline: soon)
        for _ in 0..<10 { try await readImpatiently() }
    }

    private func readImpatiently() async throws {
        do {
            _ = try await client.send(RedisCommand("GET", "x"), deadline: .now + .milliseconds(2))
        } catch {
            guard [.timeout, .breakerOpen].contains(error.code) else { throw error }
        }
    }

    private func clientLife(_ turn: Int) async throws {
        let client = RedisClient(configuration, reactor: reactor)
        try await client.ping(deadline: soon)
        if turn.isMultiple(of: 3) { await client.shutdown() }
    }

    // MARK: Speed

    func reads(callers: Int, for time: Duration) async throws -> (Int, Duration) {
        var configuration = configuration
        configuration.connections = 1
        let client = RedisClient(configuration, reactor: reactor)
        let key = RedisArgument.text("\(prefix)read")
        let value = RedisValue.string([UInt8](repeating: 0x78, count: 100))
        _ = try await client.send(RedisCommand("SET", key, .bytes(value.bytes ?? []), "PX", 60_000), deadline: soon)
        let begun = ContinuousClock.now
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<callers {
                group.addTask {
                    var count = 0
                    while begun.duration(to: .now) < time {
                        let reply = try await client.send(RedisCommand("GET", key), deadline: .now + .seconds(5))
                        guard reply == value else { throw CheckFailure(what: "the wrong value") }
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        let elapsed = begun.duration(to: .now)
        await client.shutdown()
        return (total, elapsed)
    }
}
