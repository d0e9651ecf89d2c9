import Dispatch
import Glibc
import MongoClient
import Synchronization
import Testing

/// The MongoDB server that the tests run against, from the environment.
enum MongoTestServer {
    static let uri: String? = getenv("KABABEAT_TEST_MONGO").map { String(cString: $0) }

    static var isThere: Bool { uri != nil }

    /// The port of the first host in the connection string.
    static func port() throws -> UInt16 {
        let uri = try #require(uri)
        let hosts = uri.dropFirst("mongodb://".count).prefix { $0 != "/" && $0 != "," }
        return try #require(hosts.split(separator: ":").last.flatMap { UInt16($0) })
    }

    /// The same connection string through a proxy on `port`.
    static func uri(throughPort port: UInt16) throws -> String {
        let uri = try #require(uri)
        let query = uri.split(separator: "?", maxSplits: 1).dropFirst().first.map { "&\($0)" } ?? ""
        return "mongodb://127.0.0.1:\(port)/?directConnection=true" + query.replacing("&directConnection=true", with: "")
    }

    static func configuration(_ uri: String) -> MongoConfiguration {
        MongoConfiguration(uri: uri, database: "test_\(UInt64.random(in: .min ... .max))")
    }
}

/// Gives a test a client with a database of its own, and drops that again whatever the test did.
func withMongo<T>(
    _ change: (inout MongoConfiguration) -> Void = { _ in }, observe: @escaping @Sendable (MongoEvent) -> Void = { _ in },
    _ body: (MongoClient) async throws -> T
) async throws -> T {
    var configuration = MongoTestServer.configuration(try #require(MongoTestServer.uri))
    change(&configuration)
    let client = try MongoClient(configuration, observe: observe)
    let result: Result<T, any Error>
    do {
        result = .success(try await body(client))
    } catch {
        result = .failure(error)
    }
    // A test may have shut its client down.
    if await mongoError({ try await drop(client) }) != nil {
        let other = try MongoClient(configuration)
        try await drop(other)
        await other.shutdown()
    }
    await client.shutdown()
    return try result.get()
}

private func drop(_ client: MongoClient) async throws {
    try await client.run(deadline: soon) { try $0.writeCommand(["dropDatabase": 1]) }
}

/// Far enough for anything that is to succeed.
var soon: ContinuousClock.Instant { .now + .seconds(20) }

/// The error that `body` throws, for its code to be looked at.
func mongoError(_ body: () async throws -> some Any) async -> MongoError? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error as? MongoError
    }
}

/// A value that jobs and a test both touch.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    var now: Value { value.withLock { $0 } }

    func change(_ body: (inout sending Value) -> Void) { value.withLock { body(&$0) } }
}

/// Holds a worker thread until it is opened, so that a test decides when a job ends.
final class Gate: Sendable {
    private let entered = DispatchSemaphore(value: 0)
    private let opened = DispatchSemaphore(value: 0)

    /// On the worker's thread: says that it is there, and waits.
    func pass() {
        entered.signal()
        opened.wait()
    }

    func open() { opened.signal() }

    /// Returns once a worker stands at the gate.
    func waitUntilEntered() async {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                self.entered.wait()
                continuation.resume()
            }
        }
    }
}
