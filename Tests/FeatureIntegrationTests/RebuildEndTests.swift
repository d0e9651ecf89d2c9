import Contract
import MongoClient
import PostgresClient
import TestSupport
import Testing

@testable import Beats

/// The last steps of a rebuild, one by one.
@Suite("The end of a rebuild", .timeLimit(.minutes(5)))
struct RebuildEndTests {
    @Test("What is counted is carried over page by page, to the rows that are there")
    func pagesOfCounters() async throws {
        try await Stack.use { stack in
            try await stack.mongo.run(deadline: Stack.soon) { session in
                for number in 1...7 {
                    let id = BSONValue.uuid(UInt128(number) << 64)
                    // The third is not in the new index, and the fourth was never counted.
                    let popularity = number == 4 ? 0 : Double(number) + 0.5
                    try session.bulkWrite(
                        "search_index", [.insertOne(["_id": id, "v": 1, "deleted": true, "popularity": .double(popularity)])])
                    guard number != 3 else { continue }
                    try session.bulkWrite("search_index_next_a", [.insertOne(["_id": id, "popularity": .double(0)])])
                }
            }
            let collections = SearchRebuildCollections(mongo: stack.mongoAccess)
            for page: Int64 in [1, 2, 7, 100] {
                try await collections.carryCounters(to: "search_index_next_a", page: page)
                let counted = try await stack.mongo.run(deadline: Stack.soon) { session in
                    var counted: [Double] = []
                    try session.find("search_index_next_a", [:], sort: ["_id": 1]) { counted.append($0.doubleOrNil("popularity") ?? -1) }
                    _ = try session.updateMany("search_index_next_a", [:], ["$set": ["popularity": .double(0)]])
                    return counted
                }
                #expect(counted == [1.5, 2.5, 0, 5.5, 6.5, 7.5], "pages of \(page)")
            }
            try await collections.dropAllNext()
        }
    }

    @Test("A rebuild that has exchanged the indexes has succeeded, whatever it cannot clear away; the next comparison of the copies can")
    func uncleared() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeCatalogue(published: 3, drafts: 0).published[0]
            try await stack.change(beat, "title = title")
            let rebuild = try stack.rebuild()
            try await stack.owner.run("REVOKE DELETE ON index_rebuilds FROM kababeat_gateway")
            let outcome: Result<Int64, Problem>
            do throws(Problem) { outcome = .success(try await rebuild.run()) } catch { outcome = .failure(error) }
            try await stack.owner.run("GRANT DELETE ON index_rebuilds TO kababeat_gateway")
            #expect(try outcome.get() == 3)
            #expect(try await stack.version("search_index", of: beat) == 2)
            let notes = stack.recorder.all.filter { observation in
                if case .unexpectedError(_, let detail) = observation { detail.contains("was not cleared away") } else { false }
            }
            #expect(notes.count == 1)
            #expect(try await stack.leftovers().count == 1)
            try await rebuild.clearAbandoned()
            #expect(try await stack.leftovers() == [])
        }
    }

    @Test("A collection that a rebuild could not drop at its very end goes with the next comparison of the copies, and not under a rebuild")
    func undropped() async throws {
        try await Stack.use { stack in
            let rebuild = try stack.rebuild()
            try await stack.mongo.run(deadline: Stack.soon) { try $0.insertMany("search_index_next_a", [["_id": 1]]) }
            try await stack.owner.run(
                """
                INSERT INTO leases (name, holder, held_until) VALUES ('rebuild search_index', 'somebody', now() + interval '1 hour')
                """)
            try await rebuild.clearAbandoned()
            #expect(try await stack.leftovers().count == 1)
            try await stack.owner.run("UPDATE leases SET held_until = now()")
            try await rebuild.clearAbandoned()
            #expect(try await stack.leftovers() == [])
        }
    }
}
