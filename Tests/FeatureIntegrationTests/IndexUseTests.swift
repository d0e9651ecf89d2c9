import Contract
import Foundation
import MongoClient
import TestSupport
import Testing

@testable import Beats
@testable import DataPlane

@Suite(.timeLimit(.minutes(5))) struct IndexUseTests {
    /// The stages of the plan that MongoDB chose, and the indexes it walks.
    private static func stages(_ command: BSONDocument, _ stack: Stack) async throws -> Set<String> {
        try await stack.mongo.run(deadline: Stack.soon) { session in
            let reply = try session.command(["explain": .document(command), "verbosity": "queryPlanner"])
            return reply.withView { reply in
                var found: Set<String> = []
                collect(reply, isChosen: false, into: &found)
                return found
            }
        }
    }

    private static func collect(_ document: borrowing BSONView, isChosen: Bool, into found: inout Set<String>) {
        document.forEach { field in
            if isChosen, field.keyIs("stage") || field.keyIs("indexName"), let name = field.string { found.insert(name) }
            guard !field.keyIs("rejectedPlans") else { return }
            let isChosen = isChosen || field.keyIs("winningPlan")
            _ = field.withDocument { collect($0, isChosen: isChosen, into: &found) }
        }
    }

    private static func commands(_ plan: BeatSearchPlan) -> [BSONDocument] {
        let reads = plan.segments.map { segment -> BSONDocument in
            if plan.sort == .relevance {
                return [
                    "aggregate": "search_index", "pipeline": [["$match": .document(segment.filter)], ["$limit": 21]], "cursor": [:],
                ]
            }
            return ["find": "search_index", "filter": .document(segment.filter), "sort": .document(segment.sort), "limit": 21]
        }
        return reads + [["count": "search_index", "query": .document(plan.total)]]
    }

    @Test func everyListIsReadAndCountedThroughAnIndexAndTheCommonOnesWithoutSorting() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            let catalogue = GeneratedCatalogue(count: 5000, &random, creators: 200)
            try await stack.importFile(try catalogue.write(in: stack.folder))
            let creators = try await stack.texts("SELECT creator_id::text FROM beats LIMIT 1")
            let creator = try #require(creators.first.flatMap { EntityID($0) })
            let filters: [(name: String, isOrdered: Bool, set: (inout BeatFilter) -> Void)] = [
                ("none", true, { _ in }), ("genre", true, { $0.genre = "House" }), ("mood", false, { $0.mood = "Dark" }),
                ("key", false, { $0.key = MusicalKey("8A") }), ("bpm", false, { ($0.minimumBPM, $0.maximumBPM) = (120, 124) }),
                ("price", false, { $0.maximumPrice = Money(minorUnits: 200, currency: .usd) }), ("tags", false, { $0.tags = ["lo-fi"] }),
                ("creator", false, { $0.creator = creator }), ("featured", false, { $0.isFeatured = true }),
                ("words", false, { $0.words = ["purple"] }),
            ]
            for (name, isOrdered, set) in filters {
                for withGenre in [false, true] {
                    for sort in BeatSort.allCases where sort != .relevance || name == "words" {
                        for order in SortOrder.allCases {
                            var request = BeatListRequest()
                            set(&request.filter)
                            if withGenre { request.filter.genre = "House" }
                            (request.sort, request.order) = (sort, order)
                            for command in Self.commands(try BeatPlanner.plan(request)) {
                                let stages = try await Self.stages(command, stack)
                                let said: Comment = "\(name) genre \(withGenre) \(sort) \(order): \(stages.sorted())"
                                #expect(
                                    !stages.contains("COLLSCAN")
                                        && stages.contains { $0.contains("IXSCAN") || $0.contains("TEXT") || $0.contains("COUNT_SCAN") },
                                    said)
                                if isOrdered { #expect(!stages.contains { $0.hasPrefix("SORT") && $0 != "SORT_MERGE" }, said) }
                            }
                        }
                    }
                }
            }
        }
    }

    @Test func aPageBehindACursorStartsInTheIndexWithoutSorting() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            let catalogue = GeneratedCatalogue(count: 600, &random)
            try await stack.importFile(try catalogue.write(in: stack.folder))
            let store = BeatSearchStore(mongo: MongoAccess(stack.mongo, observer: stack.recorder), timeout: .seconds(20))
            for genre in [nil, "House"] {
                for sort in BeatSort.allCases where sort != .relevance {
                    for order in SortOrder.allCases {
                        var request = BeatListRequest()
                        request.filter.genre = genre
                        (request.sort, request.order) = (sort, order)
                        let first = try await store.page(try BeatPlanner.plan(request))
                        request.page = PageRequest(limit: 20, position: .after(try #require(first.next)))
                        for command in Self.commands(try BeatPlanner.plan(request)) {
                            let stages = try await Self.stages(command, stack)
                            #expect(!stages.contains("COLLSCAN") && !stages.contains("SORT"), "\(sort) \(order): \(stages.sorted())")
                        }
                    }
                }
            }
        }
    }
}
