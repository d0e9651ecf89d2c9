import Contract
import Foundation
import MongoClient
import NIOCore
import PostgresClient
import TestSupport
import Testing

@testable import Beats
@testable import DataPlane

/// Foundation has one of this name too.
private typealias SortOrder = Beats.SortOrder

@Suite(.timeLimit(.minutes(5))) struct ListTests {
    // MARK: The catalogue

    private static func rows(_ stack: Stack, _ catalogue: GeneratedCatalogue, _ random: inout SeededGenerator) async throws -> [ListedBeat]
    {
        let ids = try await stack.beatIDs()
        let creators = try await stack.owner.query(
            PostgresStatement("SELECT external_id, id FROM users") { (row: borrowing PostgresRow) throws(PostgresError) in
                (try row.text(0), EntityID(rawValue: try row.uuid(1)))
            }, deadline: Stack.soon)
        let creatorIDs = Dictionary(creators) { first, _ in first }
        let featured = Set(try await stack.texts("SELECT external_id FROM beats WHERE is_featured"))
        return try catalogue.lines.filter(\.isPublished).map { line in
            let name = String(line.externalId.dropFirst("test:".count))
            let prices = line.licenseTypes?.values.compactMap { text in
                line.currency == "USD" ? Money(decimal: text, currency: .usd)?.minorUnits : nil
            }
            let metadata = line.metadata
            return ListedBeat(
                id: try #require(ids[name]), titleKey: Array(ListedBeat.key(line.title).utf8),
                createdAt: try milliseconds(line.createdAt), price: prices?.min(),
                popularity: Double(Int.random(in: 0...5, using: &random)) / 4, genre: (metadata?.genre).map(ListedBeat.key),
                mood: (metadata?.mood).map(ListedBeat.key),
                key: metadata?.key.flatMap { MusicalKey($0) }?.description, bpm: metadata?.bpm,
                tags: Set((metadata?.tags ?? []).map(ListedBeat.key)),
                creator: try #require(creatorIDs[String(line.creator.externalId.dropFirst("test:".count))]),
                isFeatured: featured.contains(name),
                words: ListedBeat.words([line.title, line.creator.displayName, metadata?.genre ?? ""] + (metadata?.tags ?? [])))
        }
    }

    private static func milliseconds(_ text: String) throws -> Int64 {
        let full = text.count == 10 ? text + "T00:00:00Z" : text
        let date = try Date.ISO8601FormatStyle(includingFractionalSeconds: full.contains(".")).parse(full)
        return Int64((date.timeIntervalSince1970 * 1000).rounded())
    }

    /// 300 beats in both stores, some featured, of different popularity, and the rows that a list should see.
    private static func withCatalogue(_ body: (Stack, [ListedBeat], inout SeededGenerator) async throws -> Void) async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            let catalogue = GeneratedCatalogue(count: 300, &random)
            try await stack.importFile(try catalogue.write(in: stack.folder))
            for (_, id) in try await stack.beatIDs() where Int.random(in: 0..<6, using: &random) == 0 {
                try await stack.change(id, "is_featured = true")
            }
            try await stack.relay().drain(within: .seconds(20))
            let rows = try await rows(stack, catalogue, &random)
            let writes = rows.map { row in
                MongoWrite.updateOne(filter: ["_id": .uuid(row.id.rawValue)], update: ["$set": ["popularity": .double(row.popularity)]])
            }
            _ = try await stack.mongo.run(deadline: Stack.soon) { try $0.bulkWrite("search_index", writes) }
            try await body(stack, rows, &random)
        }
    }

    private static func filter(_ rows: [ListedBeat], _ random: inout SeededGenerator) -> BeatFilter {
        var filter = BeatFilter()
        func sometimes(_ random: inout SeededGenerator) -> Bool { Int.random(in: 0..<6, using: &random) == 0 }
        if sometimes(&random) { filter.genre = random.element(of: GeneratedCatalogue.genres) }
        if sometimes(&random) { filter.mood = random.element(of: GeneratedCatalogue.moods) }
        if sometimes(&random) { filter.key = MusicalKey(random.element(of: GeneratedCatalogue.keys)) }
        if sometimes(&random) { filter.minimumBPM = Double(Int.random(in: 80...120, using: &random)) }
        if sometimes(&random) { filter.maximumBPM = Double(Int.random(in: 100...160, using: &random)) }
        if sometimes(&random) { filter.minimumPrice = Money(minorUnits: Int64.random(in: 0...600, using: &random), currency: .usd) }
        if sometimes(&random) { filter.maximumPrice = Money(minorUnits: Int64.random(in: 100...900, using: &random), currency: .usd) }
        if sometimes(&random) { filter.tags = [random.element(of: GeneratedCatalogue.tags), random.element(of: GeneratedCatalogue.tags)] }
        if sometimes(&random) { filter.words = SearchWords.words(random.element(of: GeneratedCatalogue.words)) }
        if sometimes(&random) { filter.creator = random.element(of: rows).creator }
        if sometimes(&random) { filter.isFeatured = true }
        return filter
    }

    // MARK: Walking

    /// All ids of a list by cursor, and the sizes of its pages.
    private static func walk(_ request: BeatListRequest, _ store: BeatSearchStore) async throws -> (ids: [EntityID], sizes: [Int]) {
        var (ids, sizes, request): ([EntityID], [Int], BeatListRequest) = ([], [], request)
        while true {
            let page = try await store.page(try BeatPlanner.plan(request))
            ids += page.ids
            sizes.append(page.ids.count)
            guard let next = page.next else { return (ids, sizes) }
            // As a client gives it back.
            request.page = PageRequest(limit: request.page.limit, position: .after(try #require(Cursor(next.description))))
            try #require(sizes.count < 500)
        }
    }

    private static func walkByNumber(_ request: BeatListRequest, _ store: BeatSearchStore) async throws -> [EntityID] {
        var (ids, request): ([EntityID], BeatListRequest) = ([], request)
        for number in 1..<500 {
            request.page = PageRequest(limit: request.page.limit, position: .page(number))
            let page = try await store.page(try BeatPlanner.plan(request))
            ids += page.ids
            if page.next == nil { break }
        }
        return ids
    }

    @Test func everyListIsExactlyItsRowsInOrderByCursorAndByPageNumber() async throws {
        try await Self.withCatalogue { stack, rows, random in
            let store = BeatSearchStore(mongo: MongoAccess(stack.mongo, observer: stack.recorder), timeout: .seconds(20))
            var nonEmpty = 0
            for round in 0..<90 {
                var request = BeatListRequest()
                // Every order once without a filter.
                let orders = BeatSort.allCases.filter { $0 != .relevance }.flatMap { sort in SortOrder.allCases.map { (sort, $0) } }
                if round < orders.count {
                    (request.sort, request.order) = orders[round]
                } else {
                    request.filter = Self.filter(rows, &random)
                    (request.sort, request.order) = random.element(of: orders)
                }
                let limit = random.element(of: [1, 2, 7, 20, 50, 100].filter { round < 30 || $0 > 2 })
                request.page = PageRequest(limit: limit, position: .page(1))
                let expected = rows.filter { $0.fulfils(request.filter) }.sorted {
                    ListedBeat.precedes($0, $1, request.sort, request.order)
                }.map(
                    \.id)
                if !expected.isEmpty { nonEmpty += 1 }
                let said: Comment = "\(random) \(request)"
                let walked = try await Self.walk(request, store)
                #expect(walked.ids == expected, said)
                #expect(walked.sizes.dropLast().allSatisfy { $0 == limit }, said)
                #expect(try await Self.walkByNumber(request, store) == expected, said)
                let total = try await store.total(try BeatPlanner.plan(request).total)
                #expect(total == ListTotal(Int64(expected.count)), said)
                // A page far behind the end is empty, whatever the order.
                request.page = PageRequest(limit: limit, position: .page(expected.count / limit + 5))
                #expect(try await store.page(try BeatPlanner.plan(request)).ids.isEmpty, said)
            }
            #expect(nonEmpty > 30, "\(random)")
        }
    }

    @Test func aSearchFindsEveryBeatThatHasAllItsWordsAndNoOther() async throws {
        try await Self.withCatalogue { stack, rows, random in
            let store = BeatSearchStore(mongo: MongoAccess(stack.mongo, observer: stack.recorder), timeout: .seconds(20))
            var texts =
                GeneratedCatalogue.words + GeneratedCatalogue.genres + ["PURPLE", "ete", "strasse", "GRÖSSER", "nothing", "drive night 3"]
            for _ in 0..<20 {
                texts.append("\(random.element(of: GeneratedCatalogue.words)) \(random.element(of: GeneratedCatalogue.words))")
            }
            var found = 0
            for text in texts {
                var request = BeatListRequest()
                request.filter.words = SearchWords.words(text)
                (request.sort, request.order) = (.relevance, .descending)
                request.page = PageRequest(limit: 9, position: .page(1))
                let expected = Set(rows.filter { $0.fulfils(request.filter) }.map(\.id))
                if !expected.isEmpty { found += 1 }
                let walked = try await Self.walk(request, store).ids
                #expect(
                    Set(walked) == expected && walked.count == expected.count, "\(random) \(text): \(walked.count) of \(expected.count)")
                #expect(try await Self.walkByNumber(request, store) == walked, "\(random) \(text)")
                #expect(try await store.total(try BeatPlanner.plan(request).total).count == Int64(expected.count), "\(random) \(text)")
            }
            #expect(found > 25, "\(random)")
        }
    }

    @Test func theRowsOfAListAreTheBeatsThemselvesWithAnHonestTotal() async throws {
        try await Self.withCatalogue { stack, rows, random in
            let service = stack.service()
            for bypassing in [true, false, false] {
                var request = BeatListRequest()
                request.page = PageRequest(limit: 100, position: .page(1))
                let list = try await service.list(try BeatPlanner.plan(request), bypassingCache: bypassing)
                let read = try #require(try JSONSerialization.jsonObject(with: Data(list.json)) as? [String: Any])
                let items = try #require(read["items"] as? [[String: Any]])
                let expected = rows.sorted { ListedBeat.precedes($0, $1, .createdAt, .descending) }.prefix(100)
                #expect(items.map { $0["id"] as? String } == expected.map(\.id.description), "\(random)")
                #expect((read["page"] as? [String: Any])?["total"] as? Int == rows.count, "\(random)")
                for item in items {
                    #expect(item["collaborators"] == nil && item["sources"] == nil)
                    #expect((item["metadata"] as? [String: Any])?["waveform"] == nil)
                    #expect(item["status"] as? String == "published")
                }
            }
        }
    }

    /// While somebody walks through each order that there is, page by page, rows come and go before and behind him, the very one that his
    /// cursor names among them.
    @Test func rowsThatComeAndGoNeverMakeACursorRepeatOrSkipOthers() async throws {
        try await Self.withCatalogue { stack, rows, random in
            let store = BeatSearchStore(mongo: MongoAccess(stack.mongo, observer: stack.recorder), timeout: .seconds(20))
            var stable = rows
            var number = 0
            for sort in BeatSort.allCases {
                for order in SortOrder.allCases {
                    var request = BeatListRequest()
                    (request.sort, request.order) = (sort, order)
                    request.page = PageRequest(limit: random.element(of: [7, 20, 45]), position: .page(1))
                    if sort == .relevance { request.filter.words = SearchWords.words(random.element(of: GeneratedCatalogue.words)) }
                    var (seen, gone): ([EntityID], Set<EntityID>) = ([], [])
                    while true {
                        let page = try await store.page(try BeatPlanner.plan(request))
                        seen += page.ids
                        guard let next = page.next else { break }
                        number += 1
                        let fresh = try await stack.makeBeat(number)
                        if Int.random(in: 0..<3, using: &random) == 0 {
                            // The row that the cursor names disappears, or one that was seen, or one that is still to come.
                            let named = try #require(page.ids.last)
                            let victim = random.element(of: [named, random.element(of: seen), random.element(of: stable).id])
                            if gone.insert(victim).inserted { try await stack.change(victim, "status = 'draft'") }
                        }
                        try await stack.relay().drain(within: .seconds(20))
                        if Bool.random(using: &random) {
                            let update: BSONDocument = ["$set": ["popularity": .double(Double.random(in: 0...1000, using: &random))]]
                            _ = try await stack.mongo.run(deadline: Stack.soon) { session in
                                try session.bulkWrite("search_index", [.updateOne(filter: ["_id": .uuid(fresh.rawValue)], update: update)])
                            }
                        }
                        request.page = PageRequest(limit: request.page.limit, position: .after(try #require(Cursor(next.description))))
                        try #require(seen.count < 3000)
                    }
                    stable.removeAll { gone.contains($0.id) }
                    let said: Comment = "\(random) \(sort) \(order)"
                    #expect(Set(seen).count == seen.count, said)
                    let wanted = stable.filter { $0.fulfils(request.filter) }
                    let isStable = Set(wanted.map(\.id))
                    if sort == .relevance {
                        #expect(isStable.isSubset(of: seen), said)
                    } else {
                        let expected = wanted.sorted { ListedBeat.precedes($0, $1, sort, order) }.map(\.id)
                        #expect(seen.filter { isStable.contains($0) } == expected, said)
                    }
                }
            }
        }
    }

    /// The same of the list that Postgres keeps in order: what an account made.
    @Test func beatsThatAnAccountMakesAndLosesMeanwhileMakeItsOwnListRepeatOrSkipNone() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            let first = try await stack.makeBeat(0)
            let owner = EntityID(try #require(try await stack.texts("SELECT creator_id::text FROM beats WHERE id = '\(first)'").first))
            let account = Account(
                id: try #require(owner), sessionID: nil, roles: [.user, .creator], isVerified: true, hasSecondFactor: false)
            func make() async throws -> EntityID {
                let id = EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random))
                // Few different times, so that ids decide.
                let age = Int.random(in: 0..<12, using: &random)
                try await stack.owner.run(
                    """
                    INSERT INTO beats (id, creator_id, title, created_at)
                    VALUES ('\(id)', '\(account.id)', 'Draft', timestamptz '2026-01-01' - \(age) * interval '1 second')
                    """)
                return id
            }
            for _ in 0..<60 { _ = try await make() }
            let service = stack.service()
            for status in [nil, BeatStatus.draft] {
                let condition = status.map { "status = '\($0.rawValue)'" } ?? "true"
                func all() async throws -> [EntityID] {
                    try await stack.texts(
                        """
                        SELECT id::text FROM beats WHERE creator_id = '\(account.id)' AND deleted_at IS NULL AND \(condition)
                        ORDER BY created_at DESC, id DESC
                        """
                    ).compactMap { EntityID($0) }
                }
                var (seen, gone, added): ([EntityID], Set<EntityID>, Set<EntityID>) = ([], [], [])
                let before = try await all()
                var page = PageRequest(limit: random.element(of: [3, 7, 16]), position: .page(1))
                while true {
                    let list = try await service.own(page, status, by: account)
                    let ids = try list.beats.map { try Self.id(of: $0) }
                    seen += ids
                    guard let next = list.next else { break }
                    added.insert(try await make())
                    let victim = random.element(of: [ids[ids.count - 1], random.element(of: before)])
                    if gone.insert(victim).inserted {
                        try await stack.owner.run("UPDATE beats SET status = 'archived', deleted_at = now() WHERE id = '\(victim)'")
                    }
                    page = PageRequest(limit: page.limit, position: .after(try #require(Cursor(next.description))))
                    try #require(seen.count < 1000)
                }
                #expect(Set(seen).count == seen.count, "\(random)")
                #expect(
                    seen.filter { !gone.contains($0) && !added.contains($0) } == before.filter { !gone.contains($0) }, "\(random)")
            }
        }
    }

    private static func id(of lookup: Lookup) throws -> EntityID {
        let bytes = try #require(lookup.body.bytes)
        let read = try JSONSerialization.jsonObject(with: Data(bytes.readableBytesView)) as? [String: Any]
        return try #require((read?["id"] as? String).flatMap { EntityID($0) })
    }
}
