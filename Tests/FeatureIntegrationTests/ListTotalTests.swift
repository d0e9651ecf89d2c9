import Contract
import DataPlane
import Foundation
import Testing

@testable import Beats

/// What a list says of its length, beside what it shows, while beats come and go.
@Suite("Totals of lists", .timeLimit(.minutes(5)))
struct ListTotalTests {
    /// An answer as a client reads it.
    private struct Answer {
        let ids: [EntityID]
        let next: Cursor?
        let total: Int
        let isExact: Bool

        init(_ list: BeatList) throws {
            let read = try #require(try JSONSerialization.jsonObject(with: Data(list.json)) as? [String: Any])
            let items = try #require(read["items"] as? [[String: Any]])
            ids = items.compactMap { ($0["id"] as? String).flatMap { EntityID($0) } }
            let page = try #require(read["page"] as? [String: Any])
            next = (page["next"] as? String).flatMap { Cursor($0) }
            total = try #require(page["total"] as? Int)
            isExact = try #require(page["totalIsExact"] as? Bool)
        }
    }

    private static func answer(
        _ service: BeatService, limit: Int, _ position: PageRequest.Position = .page(1), bypassingCache: Bool = true
    ) async throws -> Answer {
        let request = BeatListRequest(page: PageRequest(limit: limit, position: position))
        return try Answer(try await service.list(try BeatPlanner.plan(request), bypassingCache: bypassingCache))
    }

    @Test("A page is filled up where beats were withdrawn that the index still has, and repeats and skips none")
    func filledUp() async throws {
        try await Stack.use { stack in
            let beats = Array(try await stack.makeCatalogue(published: 40, drafts: 0).published)
            let service = stack.service()
            let before = try await Self.answer(service, limit: 100)
            #expect(Set(before.ids) == Set(beats) && before.next == nil && before.total == 40 && before.isExact)
            // Of the first page all but one, then one in seven; nothing is delivered.
            let withdrawn = Set(before.ids.enumerated().filter { $0.offset < 9 || $0.offset % 7 == 6 }.map(\.element))
            for id in withdrawn { try await stack.change(id, "status = 'draft'") }
            let expected = before.ids.filter { !withdrawn.contains($0) }
            for limit in [1, 4, 10, 100] {
                var (seen, position): ([EntityID], PageRequest.Position) = ([], .page(1))
                while true {
                    let page = try await Self.answer(service, limit: limit, position)
                    seen += page.ids
                    if limit >= 10 { #expect(page.next == nil || page.ids.count == limit) }
                    #expect(page.total >= page.ids.count + (page.next == nil ? 0 : 1))
                    if case .page = position {
                        // The list that is on one page says exactly what it has; of another some are gone that were counted.
                        #expect(page.isExact == (page.next == nil))
                        if page.isExact { #expect(page.total == expected.count) }
                    }
                    guard let next = page.next else { break }
                    position = .after(next)
                }
                #expect(seen == expected, "\(limit)")
            }
        }
    }

    @Test("The total of a list on one page is what stands on it, while one of its beats is published and withdrawn again and again")
    func flickering() async throws {
        try await Stack.use { stack in
            let beats = try await stack.makeCatalogue(published: 6, drafts: 0).published
            let relay = stack.relay()
            let fickle = beats[3]
            let flickering = Task {
                while !Task.isCancelled {
                    for status in ["draft", "published"] {
                        try await stack.change(fickle, "status = '\(status)'")
                        try await relay.drain(within: .seconds(20))
                    }
                }
            }
            let service = stack.service()
            var lengths: Set<Int> = []
            for round in 0..<600 where lengths.count < 2 || round < 200 {
                let answer = try await Self.answer(service, limit: 100, bypassingCache: !round.isMultiple(of: 4))
                lengths.insert(answer.ids.count)
                #expect(answer.total == answer.ids.count && answer.isExact && answer.next == nil)
                let part = try await Self.answer(service, limit: 3)
                #expect(part.total >= part.ids.count && (part.next == nil || part.ids.count == 3))
            }
            flickering.cancel()
            _ = await flickering.result
            #expect(lengths == [5, 6])
        }
    }
}
