import Contract
import MongoClient
import TestSupport
import Testing

@testable import Beats

@Suite struct BeatPlannerTests {
    private static let id = EntityID(rawValue: 0x0192_0000_0000_7000_8000_0000_0000_0001)

    private func plan(_ change: (inout BeatListRequest) -> Void) throws -> BeatSearchPlan {
        var request = BeatListRequest()
        change(&request)
        return try BeatPlanner.plan(request)
    }

    // MARK: Filters

    @Test func everyFilterBecomesOneTypedConditionUnderAFixedOperator() throws {
        let yen = try #require(Currency(code: "JPY"))
        let cases: [((inout BeatFilter) -> Void, BSONDocument)] = [
            ({ $0.genre = "Hip Hop" }, ["genreKey": ["$eq": "hip hop"]]),
            ({ $0.mood = "CHILL" }, ["moodKey": ["$eq": "chill"]]),
            ({ $0.key = MusicalKey("Db") }, ["key": ["$eq": "C# major"]]),
            ({ $0.minimumBPM = 90 }, ["bpm": ["$gte": .double(90)]]),
            ({ $0.maximumBPM = 140.5 }, ["bpm": ["$lte": .double(140.5)]]),
            ({ ($0.minimumBPM, $0.maximumBPM) = (90, 140) }, ["bpm": ["$gte": .double(90), "$lte": .double(140)]]),
            (
                { $0.minimumPrice = Money(minorUnits: 500, currency: .usd) },
                ["price": ["$gte": .int64(500)]]
            ),
            (
                { $0.maximumPrice = Money(minorUnits: 1200, currency: yen) },
                ["price": ["$lte": .int64(1200)]]
            ),
            ({ $0.tags = ["Summer", "lo-fi"] }, ["tags": ["$all": ["summer", "lo-fi"]]]),
            ({ $0.words = ["dark", "808"] }, ["$text": ["$search": "dark 808"], "words": ["$all": ["dark", "808"]]]),
            ({ $0.creator = Self.id }, ["creatorId": ["$eq": .uuid(Self.id.rawValue)]]),
            ({ $0.isFeatured = true }, ["isFeatured": ["$eq": true]]),
        ]
        for (change, expected) in cases {
            let plan = try plan { change(&$0.filter) }
            #expect(plan.total == expected)
            #expect(plan.segments.map(\.filter) == [expected])
        }
    }

    @Test func operatorsAndNamesFromOutsideStayValues() throws {
        let plan = try plan { request in
            request.filter.genre = "$ne"
            request.filter.mood = "{\"$gt\":\"\"}"
            request.filter.tags = ["$where"]
        }
        #expect(plan.total == ["genreKey": ["$eq": "$ne"], "moodKey": ["$eq": "{\"$gt\":\"\"}"], "tags": ["$all": ["$where"]]])
    }

    @Test func aFilterFindsWhatIsWrittenInAnySpelling() throws {
        let plan = try plan { request in
            (request.filter.genre, request.filter.mood, request.filter.tags) = ("CAFE\u{301}", "ΣΊΣΥΦΟΣ", ["STRASSE"])
        }
        let expected: BSONDocument = ["genreKey": ["$eq": "caf\u{E9}"], "moodKey": ["$eq": "σίσυφοσ"], "tags": ["$all": ["strasse"]]]
        #expect(plan.total == expected)
    }

    @Test func aListWithoutFilterLeavesOutTombstonesAndNothingElse() throws {
        #expect(try plan { _ in }.total == ["createdAt": ["$gte": .date(milliseconds: .min)]])
    }

    @Test func filtersJoinInOneFixedOrderSoThatEqualListsAreOnePlan() throws {
        let one = try plan { request in
            request.filter.genre = "House"
            request.filter.maximumBPM = 130
        }
        let other = try plan { request in
            request.filter.maximumBPM = 130
            request.filter.genre = "HOUSE"
        }
        #expect(one == other && one.hashValue == other.hashValue)
        #expect(one.total == ["genreKey": ["$eq": "house"], "bpm": ["$lte": .double(130)]])
    }

    // MARK: Orders

    @Test(arguments: [
        (BeatSort.title, SortOrder.ascending, "titleKey", Int32(1)), (.createdAt, .descending, "createdAt", -1),
        (.popularity, .descending, "popularity", -1), (.relevance, .descending, "score", -1), (.title, .descending, "titleKey", -1),
    ])
    func everyOrderEndsWithTheIdInTheSameDirection(sort: BeatSort, order: SortOrder, field: String, direction: Int32) throws {
        let plan = try plan { request in
            request.filter.words = ["x"]
            (request.sort, request.order) = (sort, order)
        }
        #expect(plan.segments.map(\.sort) == [BSONDocument([(field, .int32(direction)), ("_id", .int32(direction))])])
        #expect(plan.sort == sort)
    }

    @Test(arguments: SortOrder.allCases)
    func byPriceWhatIsNotForSaleComesLastInEitherDirection(order: SortOrder) throws {
        let plan = try plan { request in
            request.filter.genre = "House"
            (request.sort, request.order) = (.price, order)
        }
        let direction: Int32 = order == .ascending ? 1 : -1
        #expect(
            plan.segments.map(\.filter) == [
                ["genreKey": ["$eq": "house"], "price": ["$gt": .int64(0)]], ["genreKey": ["$eq": "house"], "price": nil],
            ])
        #expect(
            plan.segments.map(\.sort) == [
                ["price": .int32(direction), "_id": .int32(direction)], ["price": .int32(direction), "_id": .int32(direction)],
            ])
        #expect(plan.total == ["genreKey": ["$eq": "house"]])
    }

    @Test func aPriceFilterLeavesOutWhatIsNotForSale() throws {
        let plan = try plan { request in
            request.filter.minimumPrice = Money(minorUnits: 1, currency: .usd)
            request.sort = .price
        }
        #expect(plan.segments.count == 1)
    }

    @Test func peopleExpectTitlesAndPricesUpwardsAndTheRestDownwards() {
        #expect(BeatSort.allCases.filter { $0.natural == .ascending } == [.title, .price])
    }

    // MARK: Cursors

    private func cursor(_ order: UInt64, _ value: Cursor.Value, limit: Int = 20) -> PageRequest {
        PageRequest(limit: limit, position: .after(Cursor(order: order, value: value, id: Self.id)))
    }

    @Test func aPageAfterACursorBeginsBehindItsRow() throws {
        let first = try plan { $0.filter.genre = "House" }
        let next = try plan { request in
            request.filter.genre = "House"
            request.page = cursor(first.order, .integer(1_700_000_000_000))
        }
        let date = BSONValue.date(milliseconds: 1_700_000_000_000)
        #expect(
            next.segments.map(\.bounds) == [
                [
                    "$and": [
                        ["createdAt": ["$lte": date]],
                        ["$or": [["createdAt": ["$lt": date]], ["_id": ["$lt": .uuid(Self.id.rawValue)]]]],
                    ]
                ]
            ])
        #expect(next.total == first.total && next.order == first.order && next.rowsBefore == nil)
    }

    @Test func readingOnBehindAPageIsAskingForThePageBehindIt() throws {
        let lists: [((inout BeatListRequest) -> Void, Cursor.Value)] = [
            ({ $0.filter.genre = "House" }, .integer(5)), ({ ($0.sort, $0.order) = (.title, .ascending) }, .text("x")),
            ({ $0.sort = .price }, .integer(99)), ({ $0.sort = .price }, .absent),
            ({ ($0.sort, $0.filter.maximumPrice) = (.price, Money(minorUnits: 9, currency: .usd)) }, .integer(5)),
            ({ ($0.sort, $0.filter.words) = (.relevance, ["x"]) }, .decimal(1.5)),
        ]
        for (change, value) in lists {
            let first = try plan(change)
            let asked = try plan { request in
                change(&request)
                request.page = cursor(first.order, value, limit: 3)
            }
            #expect(try BeatPlanner.following(first, Cursor(order: first.order, value: value, id: Self.id), limit: 3) == asked)
        }
    }

    @Test func behindTheLastRowWithAPriceComeThoseWithoutOne() throws {
        let first = try plan { ($0.sort, $0.order) = (.price, .ascending) }
        let priced = try plan { request in
            (request.sort, request.order) = (.price, .ascending)
            request.page = cursor(first.order, .integer(99))
        }
        #expect(priced.segments.count == 2)
        #expect(priced.segments.last?.bounds == [:])
        let unpriced = try plan { request in
            (request.sort, request.order) = (.price, .ascending)
            request.page = cursor(first.order, .absent)
        }
        #expect(unpriced.segments.map(\.bounds) == [["_id": ["$gt": .uuid(Self.id.rawValue)]]])
    }

    @Test func aCursorOfAnotherFilterSortOrDirectionIsRefused() throws {
        let others: [(inout BeatListRequest) -> Void] = [
            { $0.filter.genre = "Trap" }, { $0.sort = .title }, { $0.order = .ascending }, { $0.filter.isFeatured = true },
            { $0.filter.tags = ["x"] },
        ]
        var orders = Set<UInt64>([try plan { _ in }.order])
        for change in others {
            let order = try plan(change).order
            #expect(orders.insert(order).inserted)
            let problem = #expect(throws: Problem.self) { try plan { $0.page = cursor(order, .integer(1)) } }
            #expect(problem?.code == .invalidCursor)
        }
    }

    @Test(arguments: BeatSort.allCases)
    func aCursorWithAValueOfAnotherKindIsRefused(sort: BeatSort) throws {
        let values: [Cursor.Value] = [.integer(1), .decimal(1), .text("x"), .absent]
        let order = try plan { ($0.sort, $0.filter.words) = (sort, ["x"]) }.order
        let accepted = values.filter { value in
            (try? plan { request in
                (request.sort, request.filter.words) = (sort, ["x"])
                request.page = cursor(order, value)
            }) != nil
        }
        let expected: [Cursor.Value] =
            switch sort {
            case .title: [.text("x")]
            case .createdAt: [.integer(1)]
            case .price: [.integer(1), .absent]
            case .popularity, .relevance: [.decimal(1)]
            }
        #expect(accepted == expected)
    }

    @Test func numberedPagesSkipWhatStandsBefore() throws {
        let plan = try plan { $0.page = PageRequest(limit: 30, position: .page(4)) }
        #expect(plan.rowsBefore == 90 && plan.limit == 30)
    }
}
