import Contract
import Foundation
import MongoClient
import PostgresClient
import Synchronization
import TestSupport
import Testing

@testable import Catalogue
@testable import DataPlane

extension Stack {
    /// Imports a file; lines that are skipped are answered, where skipping is asked for.
    @discardableResult
    func importFile(_ path: String, skipsInvalid: Bool = false) async throws -> (progress: CatalogueProgress, skipped: [String]) {
        let skipped = Mutex<[String]>([])
        let told: @Sendable (Int, String) -> Void = { number, reason in skipped.withLock { $0.append("\(number): \(reason)") } }
        let progress = try await CatalogueImport(postgres: postgres, mongo: mongo, relay: relay()).run(
            path: path, onInvalid: skipsInvalid ? told : nil
        ) { _ in }
        return (progress, skipped.withLock { $0 })
    }
}

@Suite(.timeLimit(.minutes(5))) struct ImportTests {
    @Test func anImportReachesBothStoresAndAgainChangesNothingAndAChangedLineChangesItsBeatAlone() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            var catalogue = GeneratedCatalogue(count: 700, &random)
            try catalogue.addAudio(to: [3, 600], size: 600_000, in: stack.folder)
            let path = try catalogue.write(in: stack.folder)

            #expect(try await stack.importFile(path).progress.lines == 700)
            let first = try await Snapshot(stack)
            #expect(first.beats.count == 700 && first.contents.count == 700 && first.originals.count == 2)
            // What was never published has no row there.
            let listed = try await stack.texts("SELECT count(*)::text FROM beats WHERE published_at IS NOT NULL")
            #expect([String(first.index.count)] == listed)
            #expect(try await Snapshot.leftovers(stack) == Snapshot.clean, "\(random)")
            let titles = try await stack.texts("SELECT title FROM beats ORDER BY substring(external_id FROM 6)::integer")
            #expect(titles == catalogue.lines.map(\.title), "\(random)")

            try await stack.importFile(path)
            #expect(try await Snapshot(stack) == first, "\(random)")
            #expect(try await Snapshot.leftovers(stack) == Snapshot.clean)

            catalogue.change(123) { line in
                (line.title, line.status, line.createdAt) = ("Changed", "published", "2020-01-01")
                line.metadata = .init(bpm: 99, genre: "Changed Genre")
            }
            try await stack.importFile(try catalogue.write(in: stack.folder))
            let changed = try await Snapshot(stack)
            #expect(changed.beats.count(where: { !first.beats.contains($0) }) == 1)
            #expect(changed.contents.count(where: { !first.contents.contains($0) }) == 1)
            #expect(changed.index.count(where: { !first.index.contains($0) }) == 1)
            let row = try #require(changed.beats.first { $0.hasPrefix("test|beat:123|") })
            #expect(row.hasPrefix("test|beat:123|2|Changed|") && row.contains("2020-01-01 00:00:00"))
            let entry = try #require(changed.index.first { $0.hasPrefix("{_id=beat:123,") })
            #expect(entry.contains("int64(2)") && entry.contains("genreKey=string(\"changed genre\")"))
            #expect(try await Snapshot.leftovers(stack) == Snapshot.clean)
        }
    }

    @Test func anInvalidLineStopsTheImportWithFileLineAndReasonAndSkippingGoesOn() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            var catalogue = GeneratedCatalogue(count: 40, &random)
            catalogue.change(20) { $0.title = "" }
            catalogue.change(30) { $0.audio = .init(format: "wav", file: "missing.wav") }
            catalogue.change(35) { $0.externalId = "test:beat:2" }
            let path = try catalogue.write(in: stack.folder)
            let error = await #expect(throws: CatalogueError.self) { try await stack.importFile(path) }
            #expect(error?.description.hasPrefix("\(path):21: title must have 1 to 255 characters\n") == true)

            let outcome = try await stack.importFile(path, skipsInvalid: true)
            #expect(
                outcome.skipped == [
                    "21: title must have 1 to 255 characters", "31: audio.file is no regular file of at most 512 MiB",
                    "36: externalId stands on an earlier line too",
                ])
            #expect(outcome.progress.skipped == 3 && outcome.progress.lines == 37)
            #expect(try await stack.count("beats") == 37)
            #expect(try await Snapshot.leftovers(stack) == Snapshot.clean, "\(random)")
        }
    }

    @Test func whoeverStandsFirstGetsTheNameThatTwoCreatorsWouldHave() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            var catalogue = GeneratedCatalogue(count: 1200, &random, creators: 1)
            catalogue.change(1) { $0.creator = .init(externalId: "test:creator:z", displayName: "AC/DC") }
            catalogue.change(2) { $0.creator = .init(externalId: "test:creator:z", displayName: "Another name") }
            catalogue.change(700) { $0.creator = .init(externalId: "test:creator:a", displayName: "AC DC") }
            catalogue.change(1100) { $0.creator = .init(externalId: "test:creator:b", displayName: "System") }
            try await stack.importFile(try catalogue.write(in: stack.folder))
            let names = try await stack.texts(
                "SELECT external_id || ' ' || username || ' ' || display_name FROM users ORDER BY external_id")
            #expect(names.count == 4)
            #expect(names.last == "creator:z ac-dc AC/DC", "\(names)")
            #expect(names.contains { $0.wholeMatch(of: /creator:a ac-dc-[0-9a-z]+ AC DC/) != nil }, "\(names)")
            #expect(names.contains { $0.wholeMatch(of: /creator:b system-[0-9a-z]+ System/) != nil }, "\(names)")
            // They may do with their beats what creators that registered here may.
            let roles = try await stack.texts("SELECT string_agg(role, ' ' ORDER BY role) FROM user_roles GROUP BY user_id")
            #expect(roles == Array(repeating: "creator user", count: 4))
        }
    }

    @Test func manyWhoBringTheSameOriginalAtOnceStoreItOnceAndWhole() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            var catalogue = GeneratedCatalogue(count: 1, &random)
            try catalogue.addAudio(to: [0], size: 9_000_000, in: stack.folder)
            let json = try Data(contentsOf: URL(fileURLWithPath: try catalogue.write(in: stack.folder)))
            let line = try CatalogueLine(json: Array(json), decoder: JSONDecoder())
            var configuration = MongoConfiguration(uri: stack.mongoURI, database: stack.name)
            configuration.threads = 6
            let mongo = try MongoClient(configuration)
            let audio = CatalogueAudio(postgres: stack.postgres, mongo: mongo)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<6 { group.addTask { _ = try await audio.store(line, in: stack.folder) } }
                try await group.waitForAll()
            }
            let sizes = try await mongo.run(deadline: Stack.soon) { session in
                var files: [UInt128] = []
                try session.find("media.files", [:]) { files.append(try $0.uuid("_id")) }
                return try files.map { id in
                    var size = 0
                    try session.download(bucket: "media", id: .uuid(id)) { size += $0.count }
                    return size
                }
            }
            #expect(sizes == [9_000_000])
            await mongo.shutdown()
        }
    }

    @Test func twoImportsAtTheSameTimeBothSucceedAndLeaveWhatOneWould() async throws {
        try await Stack.useTwo { alone, together in
            var random = SeededGenerator()
            var catalogue = GeneratedCatalogue(count: 1500, &random, creators: 300)
            try catalogue.addAudio(to: [0, 1, 1499], size: 3_000_000, in: together.folder)
            let path = try catalogue.write(in: together.folder)
            try await alone.importFile(path)
            let reversed = try catalogue.write("reversed.ndjson", in: together.folder, reversed: true)
            async let first: Void = { try await together.importFile(path) }()
            async let second: Void = { try await together.importFile(reversed) }()
            async let third: Void = { try await together.importFile(path) }()
            _ = try await (first, second, third)
            let (one, other) = (try await Snapshot(alone), try await Snapshot(together))
            #expect(one.beats == other.beats && one.users == other.users, "\(random)")
            #expect(one.contents == other.contents && one.originals == other.originals, "\(random)")
            #expect(one.index == other.index, "\(random)")
            #expect(try await Snapshot.leftovers(together) == Snapshot.clean, "\(random)")
        }
    }
}
