import MongoClient

/// The collection that lists and searches are answered from, and how it is exchanged for another.
enum SearchIndex {
    static let collection = "search_index"
    /// What a rebuild fills is named so, and by its lease.
    static let nextPrefix = "search_index_next_"

    /// QueryPlanKilled and CursorNotFound, https://github.com/mongodb/mongo/blob/r6.0.5/src/mongo/base/error_codes.yml: the collection was
    /// exchanged under a call, which finds the new one when it is made again.
    static func wasExchanged(_ code: MongoError.Code) -> Bool { code == .server(code: 175) || code == .server(code: 43) }

    /// Reads, and once more where the index was exchanged meanwhile.
    static func read<T>(_ session: borrowing MongoSession, _ body: (borrowing MongoSession) throws -> T) throws -> T {
        do { return try body(session) } catch let error as MongoError where wasExchanged(error.code) { return try body(session) }
    }
}
