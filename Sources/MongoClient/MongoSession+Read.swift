import CMongoC

extension MongoSession {
    /// Walks the documents that `filter` matches. Nothing is copied: `each` reads the driver's own bytes.
    ///
    /// - Parameters:
    ///   - limit: at most this many; 0 for all.
    ///   - maxTime: the server's limit if it is to be sooner than the job's deadline.
    ///   - each: called once a document. What it throws ends the walk and is thrown on, a `MongoError` as it is,
    ///     anything else as `.body`.
    /// - Throws: what the server or the way to it gives, `.decoding` for a malformed document, `.timeout`, `.cancelled`.
    public borrowing func find(
        _ collection: String, _ filter: BSONDocument, projection: BSONDocument? = nil, sort: BSONDocument? = nil, skip: Int64 = 0,
        limit: Int64 = 0, hint: MongoHint? = nil, batchSize: Int32? = nil, maxTime: Duration? = nil,
        readConcern: MongoReadConcern? = nil, _ each: (borrowing BSONView) throws -> Void
    ) throws(MongoError) {
        var options: BSONDocument = ["maxTimeMS": try timeLimit(maxTime)]
        if let projection { options.append("projection", .document(projection)) }
        if let sort { options.append("sort", .document(sort)) }
        if skip > 0 { options.append("skip", .int64(skip)) }
        if limit > 0 { options.append("limit", .int64(limit)) }
        if let hint { options.append("hint", hint.value) }
        if let batchSize { options.append("batchSize", .int32(batchSize)) }
        if let readConcern { options.append("readConcern", readConcern.value) }
        let handle = try worker.collection(collection)
        let driverOptions = try self.options(options)
        let cursor = try Cursor(
            stealing: try BSONHandle(copying: filter).withPointer { filter in
                driverOptions.withPointer { mongoc_collection_find_with_opts(handle, filter, $0, nil) }
            })
        try walk(cursor, each)
    }

    /// The first document that `filter` matches in the order of `sort`; nil when there is none.
    /// - Throws: what ``find(_:_:projection:sort:skip:limit:hint:batchSize:maxTime:readConcern:_:)`` throws.
    public borrowing func findOne(
        _ collection: String, _ filter: BSONDocument, projection: BSONDocument? = nil, sort: BSONDocument? = nil,
        readConcern: MongoReadConcern? = nil
    ) throws(MongoError) -> BSONBytes? {
        var found: BSONBytes?
        try find(collection, filter, projection: projection, sort: sort, limit: 1, readConcern: readConcern) { found = $0.copy() }
        return found
    }

    /// Walks what an aggregation pipeline gives.
    /// - Throws: as `find` does.
    public borrowing func aggregate(
        _ collection: String, _ pipeline: [BSONDocument], hint: MongoHint? = nil, batchSize: Int32? = nil, allowDiskUse: Bool = false,
        maxTime: Duration? = nil, readConcern: MongoReadConcern? = nil, _ each: (borrowing BSONView) throws -> Void
    ) throws(MongoError) {
        var options: BSONDocument = ["maxTimeMS": try timeLimit(maxTime)]
        if let hint { options.append("hint", hint.value) }
        if let batchSize { options.append("batchSize", .int32(batchSize)) }
        if allowDiskUse { options.append("allowDiskUse", true) }
        if let readConcern { options.append("readConcern", readConcern.value) }
        let handle = try worker.collection(collection)
        let driverOptions = try self.options(options)
        let cursor = try Cursor(
            stealing: try BSONHandle(copying: ["pipeline": .array(pipeline.map(BSONValue.document))]).withPointer { pipeline in
                driverOptions.withPointer { mongoc_collection_aggregate(handle, MONGOC_QUERY_NONE, pipeline, $0, nil) }
            })
        try walk(cursor, each)
    }

    /// How many documents `filter` matches, counted up to `limit` (0 for all). An empty filter answers from the collection's
    /// metadata.
    /// - Throws: as `find` does.
    public borrowing func count(
        _ collection: String, _ filter: BSONDocument = [:], limit: Int64 = 0, hint: MongoHint? = nil, maxTime: Duration? = nil
    ) throws(MongoError) -> Int64 {
        var command: BSONDocument = ["count": .string(collection), "query": .document(filter)]
        if limit > 0 { command.append("limit", .int64(limit)) }
        if let hint { command.append("hint", hint.value) }
        command.append("maxTimeMS", try timeLimit(maxTime))
        return try run(.read, command, database: nil) { try $0.int64("n") }
    }

    private borrowing func walk(_ cursor: borrowing Cursor, _ each: (borrowing BSONView) throws -> Void) throws(MongoError) {
        var walked = 0
        while let document = cursor.next() {
            try BSONView.withView(of: document, each)
            walked += 1
            // A clock read for every document would cost more than reading a small one.
            if walked % 64 == 0 { try checkDeadline() }
        }
        try cursor.check()
    }
}

/// Owns a cursor and frees it once, which also closes it on the server.
private struct Cursor: ~Copyable {
    private let raw: OpaquePointer

    init(stealing raw: OpaquePointer?) throws(MongoError) {
        guard let raw else { throw MongoError(.refused, detail: "no cursor") }
        self.raw = raw
    }

    deinit { mongoc_cursor_destroy(raw) }

    /// The next document, whose bytes live until the next call; nil at the end and after an error.
    borrowing func next() -> OpaquePointer? {
        var document: OpaquePointer?
        return mongoc_cursor_next(raw, &document) ? document : nil
    }

    borrowing func check() throws(MongoError) {
        var error = bson_error_t()
        var reply: OpaquePointer?
        guard mongoc_cursor_error_document(raw, &error, &reply) else { return }
        throw MongoError(error, labels: reply.map(MongoError.Labels.init(of:)) ?? [])
    }
}
