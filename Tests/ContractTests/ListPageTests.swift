import Contract
import TestSupport
import Testing

@Suite struct ListPageTests {
    private struct Row: Hashable, Comparable {
        let time: Int64
        let id: EntityID

        static func < (left: Row, right: Row) -> Bool { (left.time, left.id) < (right.time, right.id) }
    }

    private static let order: UInt64 = 7

    /// What a store does: the newest first, those after the cursor, one more than the page has.
    private static func page(_ rows: Set<Row>, _ request: PageRequest) throws(Problem) -> ListPage<Row> {
        let last = try request.moment(of: order)
        let following = rows.sorted(by: >).filter { row in
            last.map { row < Row(time: $0.time.microseconds, id: $0.id) } ?? true
        }
        return ListPage(cutting: Array(following.dropFirst(request.offset).prefix(request.limit + 1)), of: request, total: nil) {
            Cursor(order: order, value: .integer($0.time), id: $0.id)
        }
    }

    /// Few moments, so that many rows share one.
    private static func row(_ random: inout SeededGenerator) -> Row {
        Row(
            time: Int64.random(in: 1...5, using: &random),
            id: EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random)))
    }

    @Test func whoeverFollowsCursorsSeesEachRowThatStaysOnceAndInOrder() throws {
        var random = SeededGenerator()
        for _ in 0..<300 {
            var rows = Set((0..<Int.random(in: 0...40, using: &random)).map { _ in Self.row(&random) })
            var staying = rows
            let limit = Int.random(in: 1...7, using: &random)
            var (seen, request): ([Row], PageRequest?) = ([], PageRequest(limit: limit, position: .page(1)))
            while let wanted = request {
                let page = try Self.page(rows, wanted)
                #expect(page.rows.count <= limit && (page.next == nil || page.rows.count == limit), "\(random)")
                seen += page.rows
                // As it goes through a client.
                request = try page.next.map { PageRequest(limit: limit, position: .after(try #require(Cursor($0.description)))) }
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    if Bool.random(using: &random) {
                        rows.insert(Self.row(&random))
                    } else if let gone = rows.randomElement(using: &random) {
                        rows.remove(gone)
                        staying.remove(gone)
                    }
                }
            }
            #expect(seen == Array(Set(seen)).sorted(by: >), "\(random): a row stands twice, or out of its place")
            #expect(staying.isSubset(of: seen), "\(random): a row is missing")
        }
    }

    @Test func theCursorOfAnotherListIsRefused() {
        let moment = Cursor(order: Self.order, value: .integer(5), id: EntityID(rawValue: 1))
        for (cursor, order) in [
            (moment, 8), (Cursor(order: 7, value: .absent, id: moment.id), 7), (Cursor(order: 7, value: .integer(-1), id: moment.id), 7),
        ] as [(Cursor, UInt64)] {
            let request = PageRequest(limit: 1, position: .after(cursor))
            #expect(throws: Problem.foreignCursor) { try request.moment(of: order) }
        }
        #expect(throws: Problem.foreignCursor) {
            try PageRequest(limit: 1, position: .after(Cursor(order: 7, value: .text("5"), id: moment.id))).number(of: 7)
        }
    }

    /// Rows come and go between the page and the count, and some of the page are gone when they are to be shown.
    @Test func aTotalNeverContradictsThePageThatItStandsBeside() {
        var random = SeededGenerator()
        for _ in 0..<20_000 {
            let limit = Int.random(in: 1...5, using: &random)
            let number = Int.random(in: 0...12, using: &random)
            let counted = Bool.random(using: &random) ? number : Int.random(in: 0...12, using: &random)
            let before: Int? = Bool.random(using: &random) ? nil : limit * Int.random(in: 0...3, using: &random)
            // Behind a cursor that is somewhere in the list.
            let left = max(0, number - (before ?? Int.random(in: 0...number, using: &random)))
            let gone = Bool.random(using: &random) ? 0 : Int.random(in: 0...min(left, limit), using: &random)
            let (rows, isLast) = (min(left, limit) - gone, left <= limit)
            let said = ListTotal(Int64(counted)).beside(rows, before: before, gone: gone, isLast: isLast)
            let name: Comment = "\(random): \(rows) after \(before ?? -1), \(gone) gone, last: \(isLast), counted \(counted): \(said)"
            #expect(said.count >= rows + (isLast ? 0 : 1), name)
            if isLast, before == 0 { #expect(said == ListTotal(Int64(rows)), name) }
            guard said.isExact else {
                #expect(gone > 0 || counted != number, name)
                continue
            }
            if let before {
                let end = Int64(before + rows)
                #expect(isLast ? (rows > 0 ? said.count == end : said.count <= end) : said.count > end, name)
            }
            if gone > 0 { #expect(isLast && before == 0, name) }
            if gone == 0, counted == number { #expect(said.count == number, name) }
        }
    }

    @Test func aTotalBesideALongListStaysWithinWhatIsCounted() {
        let counted = ListTotal(counted: 10_001)
        #expect(counted.beside(20, before: 0, isLast: false) == ListTotal(10_000, isExact: false))
        #expect(ListTotal(10_000).beside(100, before: 9900, isLast: false) == ListTotal(10_000, isExact: false))
        #expect(ListTotal(counted: 10_000).beside(100, before: 9900, isLast: true) == ListTotal(10_000))
    }

    @Test func aTotalSaysWhereCountingStopped() {
        #expect(ListTotal(counted: 9, most: 10) == ListTotal(9) && ListTotal(counted: 10, most: 10).isExact)
        #expect(ListTotal(counted: 11, most: 10) == ListTotal(10, isExact: false))
        let whole = ListPage(whole: [1, 2, 3], most: 5)
        #expect(whole.total == ListTotal(3) && whole.next == nil && whole.limit == 5)
    }
}
