import Contract
import Foundation
import MongoClient
import PostgresClient
import Reactor
import RedisClient
import Schema
import Synchronization
import TestSupport
import Testing

@testable import Beats
@testable import DataPlane

/// Both databases of a test's own, migrated, and a Redis database that few others use; all dropped when the test is done.
struct Stack: Sendable {
    static let reactor = Reactor(name: "feature-tests")
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    /// A login of this suite's own, so that no other suite changes its password meanwhile.
    static let role = "kababeat_feature_test_gateway"
    static let password = "a password for tests"

    let name: String
    let server: PostgresConfiguration
    let mongoURI: String
    /// The superuser, for looking and for breaking things.
    let owner: PostgresClient
    /// As the gateway logs in.
    let postgres: PostgresClient
    let mongo: MongoClient
    let redis: RedisClient
    /// A folder for files.
    let folder: String
    private(set) var recorder = Recorder()

    /// Lends a stack that holds nothing.
    static func use(_ body: (Stack) async throws -> Void) async throws {
        try await StackPool.shared.lend(1) { try await body($0[0]) }
    }

    /// As `use`, for a test that compares two.
    static func useTwo(_ body: (Stack, Stack) async throws -> Void) async throws {
        try await StackPool.shared.lend(2) { try await body($0[0], $0[1]) }
    }

    /// New databases, migrated.
    static func make() async throws -> Stack {
        let name = "feature_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        let mongoURI = try address("MONGO")
        try await administrate("CREATE DATABASE \(name)")
        let postgres = try address("POSTGRES")
        var server = try #require(PostgresConfiguration(connectionString: postgres))
        server.database = name
        server.connections = 2
        let owner = PostgresClient(server, reactor: reactor)
        var mongoConfiguration = MongoConfiguration(uri: mongoURI, database: name)
        mongoConfiguration.socketTimeout = .seconds(60)
        let mongo = try MongoClient(mongoConfiguration)
        let migrator = SchemaMigrator(
            postgres: owner, mongo: mongo, sqlDirectory: "\(root)/sql", mongoDirectory: "\(root)/mongo", gatewayRole: role,
            gatewayPassword: password, timeLimit: .seconds(60))
        _ = try await migrator.run()
        var gateway = server
        (gateway.user, gateway.password, gateway.connections) = (role, password, 4)
        return Stack(
            name: name, server: gateway, mongoURI: mongoURI, owner: owner, postgres: PostgresClient(gateway, reactor: reactor),
            mongo: mongo,
            redis: RedisClient(try redisConfiguration(), reactor: reactor),
            folder: FileManager.default.temporaryDirectory.appending(path: name).path)
    }

    /// As good as new, for the next test.
    func cleaned() async throws -> Stack {
        try await owner.run(
            "TRUNCATE users, outbox, mails, leases, index_rebuilds, verifications, held_usernames, signing_keys, idempotency_keys, audit_log, audit_chain, audit_unsealed CASCADE"
        )
        try await mongo.run(deadline: Self.soon) { session in
            for collection in ["beats", "search_index", "beat_analytics", "media.files", "media.chunks"] {
                try session.deleteMany(collection, [:])
            }
        }
        _ = try await redis.send(RedisCommand("FLUSHDB"), deadline: Self.soon)
        try? FileManager.default.removeItem(atPath: folder)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var stack = self
        stack.recorder = Recorder()
        return stack
    }

    func drop() async throws {
        try? FileManager.default.removeItem(atPath: folder)
        await postgres.shutdown()
        await redis.shutdown()
        await owner.shutdown()
        _ = try await mongo.run(deadline: Self.soon) { try $0.writeCommand(["dropDatabase": 1]) }
        await mongo.shutdown()
        try await Self.administrate("DROP DATABASE \(name) WITH (FORCE)")
    }

    private static func administrate(_ script: String) async throws {
        let server = try address("POSTGRES")
        let administrator = PostgresClient(try #require(PostgresConfiguration(connectionString: server)), reactor: reactor)
        try await administrator.run(script)
        await administrator.shutdown()
    }

    private static func address(_ store: String) throws -> String {
        let address = ProcessInfo.processInfo.environment["KABABEAT_TEST_\(store)"]
        return try #require(address, "scripts/test starts the servers and says where they are")
    }

    static var soon: ContinuousClock.Instant { .now + .seconds(60) }

    private static let redisDatabases = Atomic<Int>(0)

    /// The database that cache tests have for themselves, one at a time, because they empty it.
    static let cacheDatabase = 15

    static func redisConfiguration(database: Int? = nil) throws -> RedisConfiguration {
        let parts = try address("REDIS").split(separator: ":")
        let port = try #require(parts.last.flatMap { Int($0) })
        let database = database ?? 1 + redisDatabases.wrappingAdd(1, ordering: .relaxed).oldValue % (cacheDatabase - 1)
        return RedisConfiguration(host: String(parts[0]), port: port, database: database)
    }

    // MARK: What a gateway is made of

    func cache(limits: EntityCache.Limits = .init()) -> EntityCache {
        EntityCache(
            representations: [BeatService.detail, BeatService.summary], limits: limits, redis: redis,
            postgres: PostgresAccess(postgres, observer: recorder), observer: recorder)
    }

    /// A relay over these stores, or over others in their place.
    func relay(mongo: MongoClient? = nil, redis: RedisClient? = nil, observer: Recorder? = nil) -> OutboxRelay {
        let observer = observer ?? recorder
        let postgres = PostgresAccess(postgres, observer: observer)
        let projector = BeatProjector(
            postgres: postgres, mongo: MongoAccess(mongo ?? self.mongo, observer: observer), observer: observer)
        let cache = EntityCache(
            representations: [BeatService.detail, BeatService.summary], redis: redis ?? self.redis, postgres: postgres,
            observer: observer)
        return OutboxRelay(postgres: postgres, projectors: [projector], cache: cache, observer: observer)
    }

    func service() -> BeatService {
        BeatService(
            cache: cache(), postgres: PostgresAccess(postgres, observer: recorder), mongo: MongoAccess(mongo, observer: recorder),
            observer: recorder)
    }

    // MARK: Looking

    func texts(_ sql: String) async throws -> [String] {
        try await owner.query(
            PostgresStatement(sql) { (row: borrowing PostgresRow) throws(PostgresError) in try row.text(0) }, deadline: Self.soon)
    }

    func count(_ what: String) async throws -> Int {
        try #require(Int(try await texts("SELECT count(*)::text FROM \(what)").first ?? ""))
    }

    func mongoCount(_ collection: String, _ filter: BSONDocument = [:]) async throws -> Int {
        Int(try await mongo.run(deadline: Self.soon) { session in try session.count(collection, filter) })
    }

    /// The version of the beat in a collection of MongoDB; nil where it is not there.
    func version(_ collection: String, of id: EntityID) async throws -> Int64? {
        try await mongo.run(deadline: Self.soon) { session in
            try session.findOne(collection, ["_id": .uuid(id.rawValue)])?.withView { $0.int64OrNil("v") }
        }
    }

    /// The ids of the beats by external name.
    func beatIDs() async throws -> [String: EntityID] {
        let rows = try await owner.query(
            PostgresStatement("SELECT external_id, id FROM beats") { (row: borrowing PostgresRow) throws(PostgresError) in
                (try row.text(0), EntityID(rawValue: try row.uuid(1)))
            }, deadline: Self.soon)
        return Dictionary(rows) { first, _ in first }
    }
}

extension PostgresClient {
    /// Runs SQL outside any transaction.
    func run(_ script: String) async throws {
        try await session(deadline: Stack.soon) { try await $0.execute(script: script, deadline: Stack.soon) }
    }
}

/// A port of loopback where nobody listens.
func closedPort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
        }
    }
    try #require(isBound)
    return Int(UInt16(bigEndian: address.sin_port))
}
