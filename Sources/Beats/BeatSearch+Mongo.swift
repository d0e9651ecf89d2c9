import Contract
import DataPlane
import MongoClient

/// A page of the search index: ids in order, and where the next page begins.
struct BeatSearchPage: Sendable {
    var ids: [EntityID] = []
    var next: Cursor?
}

/// Asks the search index. It holds published beats alone, so that nothing has to be filtered out afterwards but what was withdrawn a moment
/// ago.
struct BeatSearchStore: Sendable {
    let mongo: MongoAccess
    let timeout: Duration

    /// Throws `storeUnavailable` or `overloaded`.
    func page(_ plan: BeatSearchPlan) async throws(Problem) -> BeatSearchPage {
        try await run { session in
            var rows: [Row] = []
            var skip = Int64(plan.rowsBefore ?? 0)
            for segment in plan.segments where rows.count <= plan.limit {
                let before = rows.count
                try Self.read(segment, plan, skip: skip, limit: plan.limit + 1 - before, session) { rows.append($0) }
                if rows.count == before, skip > 0 {
                    skip = max(0, skip - (try session.count(SearchIndex.collection, segment.filter)))
                } else {
                    skip = 0
                }
            }
            var page = BeatSearchPage(ids: rows.prefix(plan.limit).map(\.id))
            if rows.count > plan.limit, let last = rows.prefix(plan.limit).last {
                page.next = Cursor(order: plan.order, value: last.value, id: last.id)
            }
            return page
        }
    }

    /// Throws `storeUnavailable` or `overloaded`.
    func total(_ conditions: BSONDocument) async throws(Problem) -> ListTotal {
        try await run { session in
            ListTotal(counted: try session.count(SearchIndex.collection, conditions, limit: ListTotal.mostCounted + 1))
        }
    }

    /// Every genre with how many published beats it has, the fullest first.
    func genres() async throws(Problem) -> [Genre] {
        try await run { session in
            var genres: [Genre] = []
            let pipeline: [BSONDocument] = [
                ["$match": ["genreKey": ["$gt": ""]]],
                ["$group": ["_id": "$genreKey", "name": ["$first": "$genre"], "count": ["$sum": .int64(1)]]],
                ["$sort": ["count": .int32(-1), "_id": .int32(1)]],
                ["$limit": .int64(Int64(Genre.most))],
            ]
            try session.aggregate(SearchIndex.collection, pipeline) { row in
                genres.append(Genre(name: try row.string("name"), count: try row.int64("count")))
            }
            return genres
        }
    }

    private struct Row {
        let id: EntityID
        let value: Cursor.Value
    }

    private static func read(
        _ segment: BeatSearchPlan.Segment, _ plan: BeatSearchPlan, skip: Int64, limit: Int, _ session: borrowing MongoSession,
        _ each: (Row) -> Void
    ) throws {
        if plan.sort == .relevance {
            try session.aggregate(SearchIndex.collection, relevancePipeline(segment, skip: skip, limit: limit)) {
                each(try row($0, plan.sort))
            }
        } else {
            // The sort field and no more: an index that has both answers without the document.
            let projection = BSONDocument([(plan.sort.field, .int32(1))])
            try session.find(
                SearchIndex.collection, segment.filter, projection: projection, sort: segment.sort, skip: skip, limit: Int64(limit)
            ) { each(try row($0, plan.sort)) }
        }
    }

    /// The score exists only after `$text` has run, so what compares with it comes in a stage of its own.
    private static func relevancePipeline(_ segment: BeatSearchPlan.Segment, skip: Int64, limit: Int) -> [BSONDocument] {
        var pipeline: [BSONDocument] = [
            ["$match": .document(segment.conditions)],
            ["$project": ["score": ["$meta": "textScore"]]],
        ]
        if !segment.bounds.isEmpty { pipeline.append(["$match": .document(segment.bounds)]) }
        pipeline.append(["$sort": .document(segment.sort)])
        if skip > 0 { pipeline.append(["$skip": .int64(skip)]) }
        pipeline.append(["$limit": .int64(Int64(limit))])
        return pipeline
    }

    private static func row(_ document: borrowing BSONView, _ sort: BeatSort) throws -> Row {
        let value: Cursor.Value
        switch sort {
        case .title: value = .text(try document.string("titleKey"))
        case .createdAt: value = .integer(try document.dateMilliseconds("createdAt"))
        case .price: value = document.int64OrNil("price").map { .integer($0) } ?? .absent
        case .popularity: value = .decimal(try document.double("popularity"))
        case .relevance: value = .decimal(try document.double("score"))
        }
        return Row(id: EntityID(rawValue: try document.uuid("_id")), value: value)
    }

    private func run<T: Sendable>(_ body: @escaping @Sendable (borrowing MongoSession) throws -> T) async throws(Problem) -> T {
        try await mongo.result(within: timeout) { session in try SearchIndex.read(session, body) }
    }
}

/// A genre as beats name it, and how many published beats have it.
struct Genre: Sendable {
    /// Genres in one answer; a catalogue has tens.
    static let most = 500

    let name: String
    let count: Int64
}
