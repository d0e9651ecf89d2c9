import Contract
import JSON
import MongoClient

/// What a list of beats was asked for.
struct BeatListRequest: Sendable, Equatable {
    var filter = BeatFilter()
    var sort = BeatSort.createdAt
    var order = SortOrder.descending
    var page = PageRequest(limit: PageRequest.defaultLimit, position: .page(1))
}

/// Which beats a list holds. Every condition that is set must hold.
struct BeatFilter: Sendable, Hashable {
    var genre: String?
    var mood: String?
    var key: MusicalKey?
    var minimumBPM: Double?
    var maximumBPM: Double?
    var minimumPrice: Money?
    var maximumPrice: Money?
    /// All of these.
    var tags: [String] = []
    /// Each of these words, in title, artist, tags or genre.
    var words: [String] = []
    var creator: EntityID?
    var isFeatured = false
}

enum BeatSort: String, Sendable, CaseIterable {
    case title, createdAt, price, popularity, relevance

    /// Where the index keeps what is sorted by.
    var field: String {
        switch self {
        case .title: "titleKey"
        case .createdAt: "createdAt"
        case .price: "price"
        case .popularity: "popularity"
        case .relevance: "score"
        }
    }

    /// The order that people expect of a sort where they do not say.
    var natural: SortOrder { self == .title || self == .price ? .ascending : .descending }
}

enum SortOrder: String, Sendable, CaseIterable {
    case ascending = "asc"
    case descending = "desc"
}

/// One page of the search index: conditions, order and bounds, ready for MongoDB. Made by `BeatPlanner`, which is pure.
struct BeatSearchPlan: Sendable, Hashable {
    /// A part of the order: rows that have a value, or rows that have none, which come last in either direction.
    struct Segment: Sendable, Hashable {
        let conditions: BSONDocument
        /// Where the page begins; empty on the first.
        let bounds: BSONDocument
        let sort: BSONDocument

        var filter: BSONDocument {
            var filter = conditions
            filter.append(contentsOf: bounds)
            return filter
        }
    }

    /// What all rows of the list fulfil, wherever the page begins: the total counts these.
    let total: BSONDocument
    /// Read one after the other until the page is full.
    let segments: [Segment]
    let sort: BeatSort
    let direction: SortOrder
    /// Rows of the list before the page; nil where it begins after a cursor.
    let rowsBefore: Int?
    let limit: Int
    /// Names filter, sort and direction in cursors.
    let order: UInt64
}

/// Turns a request into a plan. Values from outside become typed values under operators that stand here; never names, never operators.
enum BeatPlanner {
    /// Throws `invalidCursor` for a cursor of another list.
    static func plan(_ request: BeatListRequest) throws(Problem) -> BeatSearchPlan {
        let conditions = conditions(request.filter)
        let order = digest(request)
        let after = try request.page.cursor(of: order)
        return BeatSearchPlan(
            total: conditions, segments: try segments(conditions, request.sort, request.order, after: after), sort: request.sort,
            direction: request.order, rowsBefore: request.page.rowsBefore, limit: request.page.limit, order: order)
    }

    /// The first `limit` rows of the same list after `cursor`, which a page of it gave. Throws `invalidCursor` for the cursor of another.
    static func following(_ plan: BeatSearchPlan, _ cursor: Cursor, limit: Int) throws(Problem) -> BeatSearchPlan {
        BeatSearchPlan(
            total: plan.total, segments: try segments(plan.total, plan.sort, plan.direction, after: cursor), sort: plan.sort,
            direction: plan.direction, rowsBefore: nil, limit: limit, order: plan.order)
    }

    private static func segments(
        _ conditions: BSONDocument, _ sort: BeatSort, _ order: SortOrder, after: Cursor?
    ) throws(Problem) -> [BeatSearchPlan.Segment] {
        let direction: Int32 = order == .ascending ? 1 : -1
        let field = sort.field
        var segments: [BeatSearchPlan.Segment] = []
        let mayLackValue = sort == .price && conditions["price"] == nil
        guard mayLackValue || after?.value != .absent else { throw .foreignCursor }
        if after?.value != .absent {
            var valued = conditions
            if mayLackValue { valued.append("price", ["$gt": .int64(0)]) }
            segments.append(
                .init(
                    conditions: valued,
                    bounds: try after.map { cursor throws(Problem) in try bounds(field, cursor, direction, sort) } ?? [:],
                    sort: [(field, .int32(direction)), ("_id", .int32(direction))].asDocument))
        }
        if mayLackValue {
            var valueless = conditions
            valueless.append("price", .null)
            var bounds: BSONDocument = [:]
            if let after, after.value == .absent {
                bounds.append("_id", .document([(direction == 1 ? "$gt" : "$lt", .uuid(after.id.rawValue))].asDocument))
            }
            segments.append(.init(conditions: valueless, bounds: bounds, sort: ["price": .int32(direction), "_id": .int32(direction)]))
        }
        return segments
    }

    private static func conditions(_ filter: BeatFilter) -> BSONDocument {
        var conditions: BSONDocument = [:]
        if !filter.words.isEmpty {
            // The text index scores, and finds any of the words; `words` demands all of them, as whole words. Words hold letters and
            // digits alone, so none of them can be an operator of the text search.
            conditions.append("$text", ["$search": .string(filter.words.joined(separator: " "))])
            conditions.append("words", ["$all": .array(filter.words.map { .string($0) })])
        }
        if let genre = filter.genre { conditions.append("genreKey", ["$eq": .string(genre.searchKey)]) }
        if let mood = filter.mood { conditions.append("moodKey", ["$eq": .string(mood.searchKey)]) }
        if let key = filter.key { conditions.append("key", ["$eq": .string(key.description)]) }
        if let creator = filter.creator { conditions.append("creatorId", ["$eq": .uuid(creator.rawValue)]) }
        if filter.isFeatured { conditions.append("isFeatured", ["$eq": true]) }
        if !filter.tags.isEmpty { conditions.append("tags", ["$all": .array(filter.tags.map { .string($0.searchKey) })]) }
        conditions.append(range: "bpm", filter.minimumBPM.map { .double($0) }, filter.maximumBPM.map { .double($0) })
        conditions.append(
            range: "price", filter.minimumPrice.map { .int64($0.minorUnits) }, filter.maximumPrice.map { .int64($0.minorUnits) })
        // Tombstones have no date. Without a condition of its own a list would count them.
        if conditions.isEmpty { conditions.append("createdAt", ["$gte": .date(milliseconds: .min)]) }
        return conditions
    }

    /// Rows past the cursor: an outer bound that the index serves, and the tie-break within it.
    private static func bounds(_ field: String, _ cursor: Cursor, _ direction: Int32, _ sort: BeatSort) throws(Problem) -> BSONDocument {
        let value: BSONValue
        switch (sort, cursor.value) {
        case (.title, .text(let text)): value = .string(text)
        case (.createdAt, .integer(let milliseconds)): value = .date(milliseconds: milliseconds)
        case (.price, .integer(let units)): value = .int64(units)
        case (.popularity, .decimal(let number)), (.relevance, .decimal(let number)): value = .double(number)
        default: throw .foreignCursor
        }
        func compare(_ field: String, _ comparison: String, _ value: BSONValue) -> BSONValue {
            .document([(field, .document([(comparison, value)].asDocument))].asDocument)
        }
        let past = direction == 1 ? "$gt" : "$lt"
        let ties: BSONValue = ["$or": [compare(field, past, value), compare("_id", past, .uuid(cursor.id.rawValue))]]
        return ["$and": [compare(field, past + "e", value), ties]]
    }

    private static func digest(_ request: BeatListRequest) -> UInt64 {
        var digest = Digest()
        digest.update(conditions(request.filter).asBytes.bytes)
        digest.update("\(request.sort.rawValue) \(request.order.rawValue)")
        return digest.value
    }
}

extension BSONDocument {
    fileprivate mutating func append(range field: String, _ minimum: BSONValue?, _ maximum: BSONValue?) {
        var range: BSONDocument = [:]
        if let minimum { range.append("$gte", minimum) }
        if let maximum { range.append("$lte", maximum) }
        if !range.isEmpty { append(field, .document(range)) }
    }
}

extension [(String, BSONValue)] {
    fileprivate var asDocument: BSONDocument { BSONDocument(self) }
}
