import CMongoC

extension MongoSession {
    /// Inserts documents in one message. Unordered by default: one that is refused stops no other.
    ///
    /// Refusals of single documents are in the result, not thrown.
    /// - Throws: when the whole failed: what the server or the way to it gives, `.encoding`, `.timeout`, `.cancelled`.
    @discardableResult
    public borrowing func insertMany(
        _ collection: String, _ documents: [BSONDocument], ordered: Bool = false
    ) throws(MongoError) -> MongoBulkResult {
        try bulkWrite(collection, documents.map(MongoWrite.insertOne), ordered: ordered)
    }

    /// Carries out writes in as few messages as they fit in. Unless `ordered`, one that is refused stops no other.
    ///
    /// Refusals of single writes are in the result, not thrown. The version fence is such a write: an upsert by
    /// `["_id": id, "v": ["$lt": n]]` fails with `.duplicateKey` when a version not older than `n` is there.
    /// - Throws: as ``insertMany(_:_:ordered:)`` does.
    @discardableResult
    public borrowing func bulkWrite(
        _ collection: String, _ writes: [MongoWrite], ordered: Bool = false
    ) throws(MongoError) -> MongoBulkResult {
        try checkDeadline()
        // The driver takes an empty bulk for a mistake.
        guard !writes.isEmpty else { return MongoBulkResult() }
        let bulk = try Bulk(try worker.collection(collection), options: try writeOptions(["ordered": .bool(ordered)]))
        for write in writes { try bulk.append(write) }
        return try bulk.execute()
    }

    /// Updates the first document that `filter` matches.
    /// - Throws: `.duplicateKey`, `.validation` and what else the server or the way to it gives, `.encoding`, `.timeout`, `.cancelled`.
    @discardableResult
    public borrowing func updateOne(
        _ collection: String, _ filter: BSONDocument, _ update: BSONDocument, upsert: Bool = false
    ) throws(MongoError) -> MongoUpdateResult {
        try change(collection, filter, update, upsert: upsert, with: mongoc_collection_update_one)
    }

    /// Updates every document that `filter` matches.
    /// - Throws: as ``updateOne(_:_:_:upsert:)`` does.
    @discardableResult
    public borrowing func updateMany(
        _ collection: String, _ filter: BSONDocument, _ update: BSONDocument, upsert: Bool = false
    ) throws(MongoError) -> MongoUpdateResult {
        try change(collection, filter, update, upsert: upsert, with: mongoc_collection_update_many)
    }

    /// Replaces the first document that `filter` matches.
    /// - Throws: as ``updateOne(_:_:_:upsert:)`` does.
    @discardableResult
    public borrowing func replaceOne(
        _ collection: String, _ filter: BSONDocument, _ document: BSONDocument, upsert: Bool = false
    ) throws(MongoError) -> MongoUpdateResult {
        try change(collection, filter, document, upsert: upsert, with: mongoc_collection_replace_one)
    }

    /// Deletes every document that `filter` matches and returns how many there were.
    /// - Throws: as ``updateOne(_:_:_:upsert:)`` does.
    @discardableResult
    public borrowing func deleteMany(_ collection: String, _ filter: BSONDocument) throws(MongoError) -> Int {
        try delete(collection, filter, with: mongoc_collection_delete_many)
    }

    /// Deletes the first document that `filter` matches; false when there was none.
    /// - Throws: as ``updateOne(_:_:_:upsert:)`` does.
    @discardableResult
    public borrowing func deleteOne(_ collection: String, _ filter: BSONDocument) throws(MongoError) -> Bool {
        try delete(collection, filter, with: mongoc_collection_delete_one) > 0
    }

    /// Updates one document and returns it as it was before, or after if `returnNew`; nil when none was there.
    /// - Throws: as ``updateOne(_:_:_:upsert:)`` does.
    public borrowing func findOneAndUpdate(
        _ collection: String, _ filter: BSONDocument, _ update: BSONDocument, sort: BSONDocument? = nil, projection: BSONDocument? = nil,
        upsert: Bool = false, returnNew: Bool = true
    ) throws(MongoError) -> BSONBytes? {
        var options: BSONDocument = ["maxTimeMS": try timeLimit()]
        options.append("update", .document(update))
        options.append("new", .bool(returnNew))
        options.append("upsert", .bool(upsert))
        if let sort { options.append("sort", .document(sort)) }
        if let projection { options.append("fields", .document(projection)) }
        return try findAndModify(collection, filter, options)
    }

    /// Deletes one document and returns it; nil when none was there.
    /// - Throws: as ``updateOne(_:_:_:upsert:)`` does.
    public borrowing func findOneAndDelete(
        _ collection: String, _ filter: BSONDocument, sort: BSONDocument? = nil
    ) throws(MongoError) -> BSONBytes? {
        var options: BSONDocument = ["maxTimeMS": try timeLimit(), "remove": true]
        if let sort { options.append("sort", .document(sort)) }
        return try findAndModify(collection, filter, options)
    }
}

// MARK: The driver's calls

extension MongoSession {
    private typealias UpdateCall = (
        OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, UnsafeMutablePointer<bson_error_t>?
    ) -> Bool

    private typealias DeleteCall = (
        OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, UnsafeMutablePointer<bson_error_t>?
    ) -> Bool

    private borrowing func change(
        _ collection: String, _ filter: BSONDocument, _ update: BSONDocument, upsert: Bool, with call: UpdateCall
    ) throws(MongoError) -> MongoUpdateResult {
        try checkDeadline()
        let handle = try worker.collection(collection)
        let filter = try BSONHandle(copying: filter)
        let update = try BSONHandle(copying: update)
        let options = try writeOptions(upsert ? ["upsert": true] : [:])
        let reply = BSONReply()
        var error = bson_error_t()
        let isDone = filter.withPointer { filter in
            update.withPointer { update in
                options.withPointer { options in reply.withPointer { call(handle, filter, update, options, $0, &error) } }
            }
        }
        guard isDone else { throw MongoError(error, labels: MongoError.Labels(of: reply)) }
        return try reply.withView { reply in
            MongoUpdateResult(
                matched: Int(try reply.int64("matchedCount")), modified: Int(try reply.int64("modifiedCount")),
                isUpserted: reply.withField("upsertedId") { _ in true } ?? false)
        }
    }

    private borrowing func delete(_ collection: String, _ filter: BSONDocument, with call: DeleteCall) throws(MongoError) -> Int {
        try checkDeadline()
        let handle = try worker.collection(collection)
        let filter = try BSONHandle(copying: filter)
        let options = try writeOptions()
        let reply = BSONReply()
        var error = bson_error_t()
        let isDone = filter.withPointer { filter in
            options.withPointer { options in reply.withPointer { call(handle, filter, options, $0, &error) } }
        }
        guard isDone else { throw MongoError(error, labels: MongoError.Labels(of: reply)) }
        return try reply.withView { Int(try $0.int64("deletedCount")) }
    }

    private borrowing func findAndModify(
        _ collection: String, _ filter: BSONDocument, _ options: BSONDocument
    ) throws(MongoError) -> BSONBytes? {
        var command: BSONDocument = ["findAndModify": .string(collection), "query": .document(filter)]
        command.append(contentsOf: options)
        return try run(.write, command, database: nil) { reply in
            reply.withField("value") { value in value.withDocument { $0.copy() } } ?? nil
        }
    }
}

/// Owns a bulk operation of the driver's and frees it once.
private struct Bulk: ~Copyable {
    private let raw: OpaquePointer
    private let upsert: BSONHandle

    init(_ collection: OpaquePointer, options: consuming BSONHandle) throws(MongoError) {
        let upsert = try BSONHandle(copying: ["upsert": true])
        let raw = options.withPointer { mongoc_collection_create_bulk_operation_with_opts(collection, $0) }
        guard let raw else { throw MongoError(.refused, detail: "no bulk operation") }
        self.raw = raw
        self.upsert = upsert
    }

    deinit { mongoc_bulk_operation_destroy(raw) }

    borrowing func append(_ write: MongoWrite) throws(MongoError) {
        var error = bson_error_t()
        let isFine: Bool
        switch write {
        case .insertOne(let document):
            isFine = try BSONHandle(copying: document).withPointer { mongoc_bulk_operation_insert_with_opts(raw, $0, nil, &error) }
        case .replaceOne(let filter, let document, let upsert):
            isFine = try change(filter, document, upsert, &error, mongoc_bulk_operation_replace_one_with_opts)
        case .updateOne(let filter, let update, let upsert):
            isFine = try change(filter, update, upsert, &error, mongoc_bulk_operation_update_one_with_opts)
        case .updateMany(let filter, let update, let upsert):
            isFine = try change(filter, update, upsert, &error, mongoc_bulk_operation_update_many_with_opts)
        case .deleteOne(let filter):
            isFine = try BSONHandle(copying: filter).withPointer { mongoc_bulk_operation_remove_one_with_opts(raw, $0, nil, &error) }
        case .deleteMany(let filter):
            isFine = try BSONHandle(copying: filter).withPointer { mongoc_bulk_operation_remove_many_with_opts(raw, $0, nil, &error) }
        }
        guard isFine else { throw MongoError(error) }
    }

    private borrowing func change(
        _ filter: BSONDocument, _ document: BSONDocument, _ isUpsert: Bool, _ error: inout bson_error_t,
        _ call: (OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, UnsafeMutablePointer<bson_error_t>?) -> Bool
    ) throws(MongoError) -> Bool {
        let filter = try BSONHandle(copying: filter)
        let document = try BSONHandle(copying: document)
        return filter.withPointer { filter in
            document.withPointer { document in upsert.withPointer { call(raw, filter, document, isUpsert ? $0 : nil, &error) } }
        }
    }

    /// Refusals of single writes come back in the result; anything else that failed is thrown.
    borrowing func execute() throws(MongoError) -> MongoBulkResult {
        let reply = BSONReply()
        var error = bson_error_t()
        let isDone = reply.withPointer { mongoc_bulk_operation_execute(raw, $0, &error) } != 0
        let labels = MongoError.Labels(of: reply)
        let (result, isRefusal) = try reply.withView { view in
            let result = MongoBulkResult(view)
            let isDurable = view.withField("writeConcernErrors") { $0.withDocument { $0.isEmpty } ?? true } ?? true
            return (result, isDurable && !result.failures.isEmpty)
        }
        guard isDone || isRefusal else { throw MongoError(error, labels: labels) }
        return result
    }
}
