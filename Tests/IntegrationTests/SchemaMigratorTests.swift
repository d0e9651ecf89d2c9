import Foundation
import MongoClient
import PostgresClient
import Schema
import Testing

@Suite("The migrator")
struct SchemaMigratorTests {
    private static let notes = "CREATE TABLE notes (id bigint PRIMARY KEY);"
    private static let labels = "CREATE TABLE labels (id bigint PRIMARY KEY);"

    private static func collection(_ properties: String = #""v": {"bsonType": "long"}"#, direction: Int = 1) -> String {
        """
        {"collection": "things", "shardKey": [["_id", "hashed"]],
         "validator": {"$jsonSchema": {"bsonType": "object", "properties": {\(properties)}}},
         "indexes": [{"name": "by_b_then_a", "key": [["b", \(direction)], ["a", -1]]}]}
        """
    }

    @Test("A second run changes nothing, and nothing is pending after the first")
    func idempotent() async throws {
        try await SchemaFixture.use { fixture throws in
            let migrator = fixture.migrator()
            let before = try await migrator.pending()
            var reported: [String] = []
            let first = try await migrator.run { reported.append($0.name) }
            let made = first.steps.filter { $0.kind != .role }.map(\.name)
            #expect(made == before && reported.suffix(made.count) == made[...] && first.unchanged == 0)
            #expect(first.steps.allSatisfy { $0.duration != nil })

            let catalogue = try await fixture.catalogue()
            let second = try await migrator.run()
            #expect(second.steps.isEmpty && second.unchanged == made.count)
            #expect(try await fixture.catalogue() == catalogue)
            #expect(try await migrator.pending().isEmpty)
        }
    }

    @Test("The gateway's own role can tell what is pending")
    func pendingAsGateway() async throws {
        try await SchemaFixture.use { fixture throws in
            let files = try fixture.files(sql: ["001_notes.sql": Self.notes])
            _ = try await fixture.migrator(files).run()
            try files.write(Self.labels, sql: "002_labels.sql")
            try await fixture.asGateway { gateway throws in
                #expect(try await fixture.migrator(gateway, files).pending() == ["002_labels.sql"])
            }
        }
    }

    @Test("An applied file that was edited, or is gone, is refused by name")
    func editedAndMissing() async throws {
        try await SchemaFixture.use { fixture throws in
            let files = try fixture.files(sql: ["001_notes.sql": Self.notes, "002_labels.sql": Self.labels])
            _ = try await fixture.migrator(files).run()
            try files.write(Self.labels + "\n", sql: "002_labels.sql")
            let edited = await #expect(throws: SchemaError.self) { try await fixture.migrator(files).run() }
            #expect(edited?.description.contains("002_labels.sql was changed") == true)
            try files.remove(sql: "002_labels.sql")
            let missing = await #expect(throws: SchemaError.self) { try await fixture.migrator(files).pending() }
            #expect(missing?.description.contains("002_labels.sql was applied and is gone") == true)
        }
    }

    @Test("A new file that stands before an applied one is refused")
    func outOfOrder() async throws {
        try await SchemaFixture.use { fixture throws in
            let files = try fixture.files(sql: ["002_labels.sql": Self.labels])
            _ = try await fixture.migrator(files).run()
            try files.write(Self.notes, sql: "001_notes.sql")
            let error = await #expect(throws: SchemaError.self) { try await fixture.migrator(files).run() }
            #expect(error?.description.contains("001_notes.sql stands before 002_labels.sql") == true)
        }
    }

    @Test("A failing file leaves nothing of itself, and those before it stay")
    func failing() async throws {
        try await SchemaFixture.use { fixture throws in
            let files = try fixture.files(sql: ["001_notes.sql": Self.notes, "002_labels.sql": Self.labels + "\nSELECT 1 / 0;"])
            let error = await #expect(throws: SchemaError.self) { try await fixture.migrator(files).run() }
            #expect(error?.description.contains("002_labels.sql failed: postgres: error 22012") == true)
            #expect(error?.debugDescription.contains("division by zero") == true)
            let tables = try await fixture.owner.texts("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            #expect(tables == ["notes", "schema_migrations"])
            #expect(try await fixture.migrator(files).pending() == ["002_labels.sql"])

            try files.write(Self.labels, sql: "002_labels.sql")
            #expect(try await fixture.migrator(files).run().steps.map(\.name) == ["002_labels.sql"])
        }
    }

    @Test("Two migrators at once apply each file once between them")
    func concurrent() async throws {
        try await SchemaFixture.use { fixture throws in
            async let first = fixture.migrator().run()
            async let second = fixture.migrator().run()
            let summaries = try await [first, second]
            let names = summaries.flatMap(\.steps).filter { $0.kind != .role }.map(\.name)
            #expect(!names.isEmpty && Set(names).count == names.count)
            #expect(try await fixture.migrator().pending().isEmpty)
        }
    }

    @Test("A dry run says what it would do and does nothing")
    func dryRun() async throws {
        try await SchemaFixture.use { fixture throws in
            let summary = try await fixture.migrator().run(dryRun: true)
            #expect(summary.steps.filter { $0.kind != .role }.map(\.name) == (try await fixture.migrator().pending()))
            #expect(summary.steps.allSatisfy { $0.duration == nil })
            #expect(try await fixture.catalogue().isEmpty)
            #expect(try await fixture.collections().isEmpty)
        }
    }

    @Test("A database migrated in two stages and a fresh one have the same schema")
    func sameSchema() async throws {
        try await SchemaFixture.use { staged throws in
            _ = try await staged.migrator(staged.projectFiles(first: 3)).run()
            _ = try await staged.migrator().run()
            try await SchemaFixture.use { fresh throws in
                _ = try await fresh.migrator().run()
                #expect(try await fresh.catalogue() == (try await staged.catalogue()))
                #expect(try await fresh.collections() == (try await staged.collections()))
            }
        }
    }

    @Test("A collection or an index that MongoDB lost is made again")
    func heals() async throws {
        try await SchemaFixture.use { fixture throws in
            let files = try fixture.files(mongo: ["things.json": Self.collection()])
            _ = try await fixture.migrator(files).run()
            let whole = try await fixture.collections()
            #expect(whole == ["things: _id_, by_b_then_a"])
            for loss: BSONDocument in [["dropIndexes": "things", "index": "*"], ["drop": "things"]] {
                try await fixture.mongo.run(deadline: SchemaFixture.soon) { _ = try $0.writeCommand(loss) }
                #expect(try await fixture.migrator(files).run().steps.map(\.name) == ["things.json"])
                #expect(try await fixture.collections() == whole)
            }
        }
    }

    @Test("A changed validator is applied; a changed or unlisted index goes only with leave")
    func changes() async throws {
        try await SchemaFixture.use { fixture throws in
            let files = try fixture.files(mongo: ["things.json": Self.collection()])
            _ = try await fixture.migrator(files).run()
            try files.write(Self.collection(#""v": {"bsonType": "string"}"#), mongo: "things.json")
            #expect(try await fixture.migrator(files).run().steps.map(\.name) == ["things.json"])
            let inserted = try await fixture.mongo.run(deadline: SchemaFixture.soon) { try $0.insertMany("things", [["v": 1]]) }
            #expect(inserted.failures.map(\.code) == [.validation])

            let stray: BSONDocument = ["createIndexes": "things", "indexes": [["name": "stray", "key": ["c": 1]]]]
            try await fixture.mongo.run(deadline: SchemaFixture.soon) { _ = try $0.writeCommand(stray) }
            try files.write(Self.collection(direction: -1), mongo: "things.json")
            let error = await #expect(throws: SchemaError.self) { try await fixture.migrator(files).run() }
            #expect(error?.description.contains("the index by_b_then_a of things clashes") == true)
            #expect(try await fixture.collections() == ["things: _id_, by_b_then_a, stray"])
            _ = try await fixture.migrator(files, mayDropIndexes: true).run()
            #expect(try await fixture.collections() == ["things: _id_, by_b_then_a"])
        }
    }

    @Test("A role that could get round row security is refused as the gateway's")
    func strongRole() async throws {
        try await SchemaFixture.use { fixture throws in
            let owner = try #require(try await fixture.owner.texts("SELECT current_user::text").first)
            let error = await #expect(throws: SchemaError.self) { try await fixture.migrator(role: owner).run() }
            #expect(error?.description.contains("bypasses row security, or owns the tables") == true, "\(String(reflecting: error))")
        }
    }

    private static let badFiles: [(sql: [String], mongo: [String: String], reason: String)] = [
        (["1_notes.sql"], [:], "NNN_name.sql"),
        (["001_Notes.sql"], [:], "NNN_name.sql"),
        (["001_a.sql", "001_b.sql"], [:], "have the same number"),
        ([], ["other.json": collection()], "'collection' must be the file's name"),
        ([], ["things.json": "{"], "it is no JSON"),
        ([], ["things.json": collection().replacing("shardKey", with: "shard")], "'shard' is unknown"),
        ([], ["things.json": collection().replacing(#"[["b", 1], ["a", -1]]"#, with: #"{"b": 1}"#)], "array of pairs"),
    ]

    @Test("Files that do not say what they are are refused before anything is done")
    func badFiles() async throws {
        try await SchemaFixture.use { fixture throws in
            for (sql, mongo, reason) in Self.badFiles {
                let files = try fixture.files(sql: Dictionary(uniqueKeysWithValues: sql.map { ($0, Self.notes) }), mongo: mongo)
                let error = await #expect(throws: SchemaError.self) { try await fixture.migrator(files).run() }
                #expect(error?.description.contains(reason) == true, "\(reason)")
            }
            #expect(try await fixture.catalogue().isEmpty)
        }
    }

    @Test("A directory that is not there is an error that names it")
    func noDirectory() async throws {
        try await SchemaFixture.use { fixture throws in
            let files = try fixture.files()
            try FileManager.default.removeItem(atPath: files.sql)
            let error = await #expect(throws: SchemaError.self) { try await fixture.migrator(files).pending() }
            #expect(error?.description.contains(files.sql) == true)
        }
    }
}
