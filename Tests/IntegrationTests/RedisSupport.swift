import Glibc
import Reactor
import RedisClient
import Synchronization
import Testing

/// Tests of the client against a real server, one at a time: they cut, freeze and count connections.
@Suite(.serialized) struct RedisTests {
    static let reactor = Reactor(name: "test-redis")

    struct Unavailable: Error, CustomStringConvertible {
        let description: String
    }

    /// The throwaway server that the environment names.
    static func configuration() throws -> RedisConfiguration {
        let text = getenv("KABABEAT_TEST_REDIS").map { String(cString: $0) }
        guard let parts = text?.split(separator: ":"), parts.count == 2, let port = Int(parts[1]) else {
            throw Unavailable(description: "set KABABEAT_TEST_REDIS to \"127.0.0.1:PORT\" of a throwaway server")
        }
        return RedisConfiguration(host: String(parts[0]), port: port, clientName: "test")
    }

    /// What a test gets: a client, and a prefix for keys that go at the end.
    struct Fixture: Sendable {
        let client: RedisClient
        let events: Events
        let prefix: String

        func key(_ name: String) -> RedisArgument { .text(prefix + name) }

        /// Sends one command with a deadline that anything which is to succeed meets.
        func send(_ name: String, _ arguments: RedisArgument...) async throws -> RedisValue {
            try await client.send(RedisCommand([.text(name)] + arguments), deadline: soon)
        }
    }

    static func withRedis(
        _ change: (inout RedisConfiguration) -> Void = { _ in }, _ body: (Fixture) async throws -> Void
    ) async throws {
        let prefix = "test:\(UInt64.random(in: .min ... .max)):"
        let administrator = RedisClient(try configuration(), reactor: reactor)
        var configuration = try configuration()
        change(&configuration)
        let events = Events()
        let client = RedisClient(configuration, reactor: reactor) { events.note($0) }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(Fixture(client: client, events: events, prefix: prefix)))
        } catch {
            result = .failure(error)
        }
        await client.shutdown()
        let keys = try await administrator.send(RedisCommand("KEYS", .text(prefix + "*")), deadline: soon).elements ?? []
        if !keys.isEmpty {
            _ = try await administrator.send(RedisCommand("DEL", keys.map { .bytes($0.bytes ?? []) }), deadline: soon)
        }
        await administrator.shutdown()
        try result.get()
    }

    /// As `withRedis`, through a proxy that can cut and freeze the connections. `direct` goes past the proxy.
    static func withProxiedRedis(
        _ change: (inout RedisConfiguration) -> Void = { _ in },
        _ body: (_ redis: Fixture, _ proxy: TCPProxy, _ direct: Fixture) async throws -> Void
    ) async throws {
        let proxy = try TCPProxy(target: UInt16(try configuration().port))
        defer { proxy.stop() }
        try await withRedis { direct in
            try await withRedis { configuration in
                configuration.host = "127.0.0.1"
                configuration.port = Int(proxy.port)
                change(&configuration)
            } _: { redis in
                try await redis.client.ping(deadline: soon)
                try await body(redis, proxy, direct)
                proxy.resume()
                proxy.accept()
            }
        }
    }

    static var soon: ContinuousClock.Instant { .now + .seconds(20) }

    /// The error of a call that must fail.
    static func failure<T>(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> T
    ) async throws -> RedisError.Code {
        do {
            _ = try await body()
        } catch let error as RedisError {
            return error.code
        }
        throw Unavailable(description: "the call succeeded, line \(sourceLocation.line)")
    }

    /// Runs `count` calls at once and answers the outcome of each.
    static func concurrently<T: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Int) async throws -> T
    ) async -> [Result<T, any Error>] {
        await withTaskGroup(of: (Int, Result<T, any Error>).self) { group in
            for number in 0..<count {
                group.addTask {
                    do { return (number, .success(try await body(number))) } catch { return (number, .failure(error)) }
                }
            }
            var outcomes: [Result<T, any Error>?] = Array(repeating: nil, count: count)
            for await (number, outcome) in group { outcomes[number] = outcome }
            return outcomes.compactMap { $0 }
        }
    }

    /// What a client told of itself.
    final class Events: Sendable {
        private let all = Mutex<[RedisEvent]>([])

        func note(_ event: RedisEvent) { all.withLock { $0.append(event) } }

        func count(_ isWanted: (RedisEvent) -> Bool) -> Int { all.withLock { $0.count(where: isWanted) } }

        var opened: Int { count { if case .opened = $0 { true } else { false } } }
        var lost: Int { count { if case .lost = $0 { true } else { false } } }
        var breakerOpened: Int { count { if case .breakerOpened = $0 { true } else { false } } }
        var breakerClosed: Int { count { if case .breakerClosed = $0 { true } else { false } } }
        var overflowed: Int { count { if case .overflowed = $0 { true } else { false } } }

        /// What the last attempt to connect failed for.
        var openFailure: RedisError? {
            all.withLock { events in
                events.lazy.compactMap { if case .openFailed(_, let error) = $0 { error } else { nil } }.last
            }
        }
    }
}
