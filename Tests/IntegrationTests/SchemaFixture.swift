import Foundation
import MongoClient
import PostgresClient
import Reactor
import Schema
import Testing

/// A database of a test's own in both stores, dropped when the test is done.
struct SchemaFixture: Sendable {
    /// A login of this suite's own, so that no other suite changes its password meanwhile.
    static let gatewayRole = "kababeat_schema_test_gateway"
    static let gatewayPassword = "a password for tests"
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    private static let reactor = Reactor(name: "schema-tests")

    let owner: PostgresClient
    let mongo: MongoClient
    let database: String
    private let directory: String

    static func use(_ body: (SchemaFixture) async throws -> Void) async throws {
        let server = try ServerAddress()
        let database = "schema_\(UUID().uuidString.lowercased().replacing("-", with: ""))"
        let administrator = client(server, database: server.database)
        try await administrator.run("CREATE DATABASE \(database)")
        let mongo = try MongoClient(MongoConfiguration(uri: server.mongo, database: database))
        let owner = client(server, database: database)
        let directory = FileManager.default.temporaryDirectory.appending(path: database).path
        var failure: (any Error)?
        do {
            try await body(SchemaFixture(owner: owner, mongo: mongo, database: database, directory: directory))
        } catch {
            failure = error
        }
        try? FileManager.default.removeItem(atPath: directory)
        await owner.shutdown()
        try await mongo.run(deadline: soon) { _ = try $0.writeCommand(["dropDatabase": 1]) }
        await mongo.shutdown()
        try await administrator.run("DROP DATABASE \(database) WITH (FORCE)")
        await administrator.shutdown()
        if let failure { throw failure }
    }

    static var soon: ContinuousClock.Instant { .now + .seconds(60) }

    private static func client(_ server: ServerAddress, database: String) -> PostgresClient {
        PostgresClient(
            PostgresConfiguration(
                host: server.host, port: server.port, user: server.user, password: server.password, database: database, connections: 2),
            reactor: reactor)
    }

    /// Lends a client that logs in as the gateway does.
    func asGateway(connections: Int = 2, _ body: (PostgresClient) async throws -> Void) async throws {
        let server = try ServerAddress()
        let client = PostgresClient(
            PostgresConfiguration(
                host: server.host, port: server.port, user: Self.gatewayRole, password: Self.gatewayPassword, database: database,
                connections: connections), reactor: Self.reactor)
        do {
            try await body(client)
        } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
    }

    func migrator(_ files: FilesOnDisk? = nil, role: String = gatewayRole, mayDropIndexes: Bool = false) -> SchemaMigrator {
        migrator(owner, files, role: role, mayDropIndexes: mayDropIndexes)
    }

    func migrator(
        _ postgres: PostgresClient, _ files: FilesOnDisk?, role: String = gatewayRole, mayDropIndexes: Bool = false
    ) -> SchemaMigrator {
        SchemaMigrator(
            postgres: postgres, mongo: mongo, sqlDirectory: files?.sql ?? "\(Self.root)/sql",
            mongoDirectory: files?.mongo ?? "\(Self.root)/mongo", gatewayRole: role, gatewayPassword: Self.gatewayPassword,
            mayDropIndexes: mayDropIndexes, timeLimit: .seconds(60))
    }

    func files(sql: [String: String] = [:], mongo: [String: String] = [:]) throws -> FilesOnDisk {
        try FilesOnDisk(in: directory, sql: sql, mongo: mongo)
    }

    /// The first `count` SQL files of the project, and no collection.
    func projectFiles(first count: Int = .max) throws -> FilesOnDisk {
        let root = "\(Self.root)/sql"
        var files: [String: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: root).sorted().prefix(count) {
            files[name] = try String(contentsOfFile: "\(root)/\(name)", encoding: .utf8)
        }
        return try self.files(sql: files)
    }

    /// Every collection with its indexes, as `name: index, index`.
    func collections() async throws -> [String] {
        try await mongo.run(deadline: Self.soon) { session in
            var collections: [String] = []
            for name in try Self.names(["listCollections": 1, "nameOnly": true], session) {
                collections.append("\(name): \(try Self.names(["listIndexes": .string(name)], session).joined(separator: ", "))")
            }
            return collections
        }
    }

    private static func names(_ command: BSONDocument, _ session: borrowing MongoSession) throws -> [String] {
        let reply = try session.command(command)
        var names: [String] = []
        reply.withView { reply in
            _ = reply.withField("cursor.firstBatch") { batch in
                batch.withDocument { entries in
                    entries.forEach { entry in
                        _ = entry.withDocument { if let name = $0.stringOrNil("name") { names.append(name) } }
                    }
                }
            }
        }
        return names.sorted()
    }

    /// What `pg_catalog` says of tables, columns, constraints, indexes, policies, functions and grants.
    func catalogue() async throws -> [String] {
        try await owner.texts(
            """
            SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || coalesce(' ' || column_default, '')
            FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT tablename || ' ' || policyname || ' ' || cmd || coalesce(' ' || qual, '') || coalesce(' ' || with_check, '')
            FROM pg_policies WHERE schemaname = 'public'
            UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION ALL SELECT table_name || ' ' || grantee || ' ' || privilege_type
            FROM information_schema.role_table_grants WHERE table_schema = 'public'
            ORDER BY 1
            """)
    }
}

/// Where the test servers are, as the environment says.
private struct ServerAddress {
    let host: String
    let port: Int
    let user: String
    let password: String
    let database: String
    let mongo: String

    init() throws {
        let environment = ProcessInfo.processInfo.environment
        let postgres = try #require(environment["KABABEAT_TEST_POSTGRES"], "scripts/test starts the servers and says where they are")
        mongo = try #require(environment["KABABEAT_TEST_MONGO"], "scripts/test starts the servers and says where they are")
        var settings: [Substring: String] = [:]
        for pair in postgres.split(separator: " ") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { settings[parts[0]] = String(parts[1]) }
        }
        host = try #require(settings["host"])
        port = try #require(settings["port"].flatMap { Int($0) })
        user = try #require(settings["user"])
        password = settings["password"] ?? ""
        database = settings["dbname"] ?? "postgres"
    }
}

/// Schema files that a test writes, gone with its fixture.
struct FilesOnDisk: Sendable {
    let sql: String
    let mongo: String

    fileprivate init(in directory: String, sql: [String: String], mongo: [String: String]) throws {
        let directory = "\(directory)/\(UUID().uuidString)"
        (self.sql, self.mongo) = ("\(directory)/sql", "\(directory)/mongo")
        for path in [self.sql, self.mongo] { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        for (name, text) in sql { try write(text, sql: name) }
        for (name, text) in mongo { try write(text, mongo: name) }
    }

    func write(_ text: String, sql name: String) throws { try text.write(toFile: "\(sql)/\(name)", atomically: true, encoding: .utf8) }

    func write(_ text: String, mongo name: String) throws { try text.write(toFile: "\(mongo)/\(name)", atomically: true, encoding: .utf8) }

    func remove(sql name: String) throws { try FileManager.default.removeItem(atPath: "\(sql)/\(name)") }
}

extension PostgresClient {
    /// Runs SQL outside any transaction.
    func run(_ script: String) async throws {
        try await session(deadline: SchemaFixture.soon) { try await $0.execute(script: script, deadline: SchemaFixture.soon) }
    }

    /// The first column of every row, as text.
    func texts(_ sql: String, settings: PostgresSettings? = nil) async throws -> [String] {
        try await query(.text(sql), settings: settings, deadline: SchemaFixture.soon)
    }

    func count(_ table: String, settings: PostgresSettings? = nil) async throws -> Int {
        Int(try await texts("SELECT count(*)::text FROM \(table)", settings: settings).first ?? "") ?? -1
    }
}

extension PostgresStatement where Row == String {
    /// A statement whose first column is text.
    static func text(_ sql: String) -> Self {
        PostgresStatement(sql) { (row: borrowing PostgresRow) throws(PostgresError) in try row.text(0) }
    }
}
