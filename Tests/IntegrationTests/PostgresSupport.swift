import Glibc
import PostgresClient
import Reactor
import Synchronization
import Testing

/// Tests of the client against a real server, one at a time: they cut, freeze and count connections.
@Suite(.serialized) struct PostgresTests {
    static let reactor = Reactor(name: "test-postgres")

    struct Unavailable: Error, CustomStringConvertible {
        let description: String
    }

    /// The throwaway server that the environment names.
    static func configuration() throws -> PostgresConfiguration {
        guard let text = getenv("KABABEAT_TEST_POSTGRES").map({ String(cString: $0) }) else {
            throw Unavailable(
                description:
                    "set KABABEAT_TEST_POSTGRES to \"host=127.0.0.1 port=... user=... password=... dbname=...\" of a throwaway server")
        }
        guard let configuration = PostgresConfiguration(connectionString: text) else {
            throw Unavailable(description: "KABABEAT_TEST_POSTGRES is not \"host=... port=... user=... password=... dbname=...\"")
        }
        return configuration
    }

    /// Lends a client whose tables live in a schema of their own, which goes at the end.
    static func withClient<T>(
        _ change: (inout PostgresConfiguration) -> Void = { _ in },
        observe: @escaping @Sendable (PostgresEvent) -> Void = { _ in }, _ body: (PostgresClient) async throws -> T
    ) async throws -> T {
        var configuration = try configuration()
        let schema = "test_\(UInt64.random(in: .min ... .max))"
        configuration.applicationName = schema
        let administrator = PostgresClient(configuration, reactor: reactor)
        try await administrator.execute(PostgresStatement("CREATE SCHEMA \(schema)"), deadline: soon)
        configuration.serverOptions += " -c search_path=\(schema)"
        configuration.applicationName = "client of \(schema)"
        change(&configuration)
        let client = PostgresClient(configuration, reactor: reactor, observe: observe)
        let result: Result<T, any Error>
        do {
            result = .success(try await body(client))
        } catch {
            result = .failure(error)
        }
        await client.shutdown()
        try await administrator.execute(PostgresStatement("DROP SCHEMA \(schema) CASCADE"), deadline: soon)
        await administrator.shutdown()
        return try result.get()
    }

    /// As `withClient`, through a proxy that can cut and freeze the connections. `observer` goes past the proxy.
    static func withProxiedClient(
        _ change: (inout PostgresConfiguration) -> Void = { _ in },
        _ body: (_ client: PostgresClient, _ proxy: TCPProxy, _ observer: PostgresClient) async throws -> Void
    ) async throws {
        let proxy = try TCPProxy(target: UInt16(try configuration().port))
        defer { proxy.stop() }
        try await withClient { observer in
            try await withClient { configuration in
                configuration.host = "127.0.0.1"
                configuration.port = Int(proxy.port)
                change(&configuration)
            } _: { client in
                try await body(client, proxy, observer)
                proxy.resume()
                proxy.accept()
            }
        }
    }

    static var soon: ContinuousClock.Instant { .now + .seconds(20) }

    /// The error that `body` throws, recording an issue where it throws none and must.
    static func failure(
        orNone: Bool = false, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> some Any
    ) async -> PostgresError? {
        do {
            _ = try await body()
            if !orNone { Issue.record("no error was thrown", sourceLocation: sourceLocation) }
            return nil
        } catch let error as PostgresError {
            return error
        } catch {
            Issue.record("not a PostgresError: \(error)", sourceLocation: sourceLocation)
            return nil
        }
    }
}

extension PostgresStatement where Row == Int64 {
    static func number(_ sql: String) -> PostgresStatement<Int64> {
        PostgresStatement(sql) { row throws(PostgresError) in try row.int64(0) }
    }
}

extension PostgresStatement where Row == String? {
    static func text(_ sql: String) -> PostgresStatement<String?> {
        PostgresStatement(sql) { row throws(PostgresError) in try row.textOrNil(0) }
    }
}
