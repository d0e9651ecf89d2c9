/// One write of a bulk.
public enum MongoWrite: Sendable {
    case insertOne(BSONDocument)
    case replaceOne(filter: BSONDocument, BSONDocument, upsert: Bool = false)
    case updateOne(filter: BSONDocument, update: BSONDocument, upsert: Bool = false)
    case updateMany(filter: BSONDocument, update: BSONDocument, upsert: Bool = false)
    case deleteOne(filter: BSONDocument)
    case deleteMany(filter: BSONDocument)
}

/// What a bulk did.
public struct MongoBulkResult: Sendable, Hashable {
    /// Why one write of the bulk was refused; the others are not concerned, unless the bulk was ordered.
    public struct Failure: Sendable, Hashable {
        /// The write's place in the bulk.
        public let index: Int
        public let code: MongoError.Code
    }

    public internal(set) var inserted = 0
    public internal(set) var matched = 0
    public internal(set) var modified = 0
    public internal(set) var deleted = 0
    /// The places in the bulk of the writes that inserted for want of a match.
    public internal(set) var upserted: [Int] = []
    public internal(set) var failures: [Failure] = []
}

/// What an update did.
public struct MongoUpdateResult: Sendable, Hashable {
    public let matched: Int
    public let modified: Int
    /// Whether a document was inserted for want of a match.
    public let isUpserted: Bool
}

extension MongoBulkResult {
    /// Reads the driver's reply to a bulk or an insert.
    init(_ reply: borrowing BSONView) {
        reply.forEach { field in
            let number = field.int64OrNil.map(Int.init(truncatingIfNeeded:)) ?? 0
            if field.keyIs("nInserted") || field.keyIs("insertedCount") {
                inserted = number
            } else if field.keyIs("nMatched") {
                matched = number
            } else if field.keyIs("nModified") {
                modified = number
            } else if field.keyIs("nRemoved") {
                deleted = number
            } else if field.keyIs("upserted") {
                field.forEachDocument { if let index = $0.int64OrNil("index") { upserted.append(Int(index)) } }
            } else if field.keyIs("writeErrors") {
                field.forEachDocument { failure in
                    guard let index = failure.int64OrNil("index"), let code = failure.int64OrNil("code") else { return }
                    let meaning = MongoError.Code(serverCode: Int32(truncatingIfNeeded: code))
                    failures.append(Failure(index: Int(index), code: meaning))
                }
            }
        }
    }
}

extension BSONField {
    /// Calls `body` for every document of an array.
    fileprivate borrowing func forEachDocument(_ body: (borrowing BSONView) -> Void) {
        _ = withDocument { array in array.forEach { _ = $0.withDocument(body) } }
    }
}
