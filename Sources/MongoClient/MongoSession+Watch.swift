import CMongoC

extension MongoSession {
    /// Opens a change stream on a collection for as long as `body` runs.
    ///
    /// It holds its worker thread all the while, so a watcher wants a small ``MongoClient`` of its own, and jobs that
    /// end after some seconds and hand their ``MongoChangeStream/resumeToken()`` on to the next.
    /// - Parameters:
    ///   - pipeline: stages that filter or trim the events on the server.
    ///   - token: where an earlier stream stood; nil for now.
    ///   - maxAwait: how long the server may wait for an event; cut to a second, well below the socket timeout.
    ///   - fullDocument: whether an update's event carries the document as it is when the event is looked up.
    /// - Throws: what `body` throws, or what the server or the way to it gives.
    public borrowing func watch<T>(
        _ collection: String, _ pipeline: [BSONDocument] = [], resumeAfter token: BSONBytes? = nil, maxAwait: Duration = .milliseconds(500),
        fullDocument: Bool = false, _ body: (borrowing MongoChangeStream) throws -> T
    ) throws(MongoError) -> T {
        try checkDeadline()
        var options: BSONDocument = ["maxAwaitTimeMS": .int64(max(1, min(maxAwait, .seconds(1)).milliseconds))]
        if let token { options.append("resumeAfter", .raw(token)) }
        if fullDocument { options.append("fullDocument", "updateLookup") }
        let handle = try worker.collection(collection)
        let driverOptions = try self.options(options)
        let raw = try BSONHandle(copying: ["pipeline": .array(pipeline.map(BSONValue.document))]).withPointer { pipeline in
            driverOptions.withPointer { mongoc_collection_watch(handle, pipeline, $0) }
        }
        guard let raw else { throw MongoError(.refused, detail: "no change stream") }
        let stream = MongoChangeStream(stealing: raw)
        try stream.check()
        do {
            return try body(stream)
        } catch {
            throw MongoError(wrapping: error)
        }
    }
}

/// The events of a collection, in their order. Lent to the body of ``MongoSession/watch(_:_:resumeAfter:maxAwait:fullDocument:_:)``.
public struct MongoChangeStream: ~Copyable {
    private let raw: OpaquePointer

    fileprivate init(stealing raw: OpaquePointer) { self.raw = raw }

    deinit { mongoc_change_stream_destroy(raw) }

    /// Waits up to the stream's `maxAwait` for an event and lends it to `body`; nil when none came.
    /// The driver reopens a broken stream by itself once.
    /// - Throws: what `body` throws, or what the server or the way to it gives; the stream is over then.
    public borrowing func tryNext<T>(_ body: (borrowing BSONView) throws -> T) throws(MongoError) -> T? {
        var event: OpaquePointer?
        if mongoc_change_stream_next(raw, &event), let event { return try BSONView.withView(of: event, body) }
        try check()
        return nil
    }

    /// Where the stream stands, for another to go on from; nil before the server has said so.
    /// - Throws: `.decoding` when the token is no well-formed document.
    public borrowing func resumeToken() throws(MongoError) -> BSONBytes? {
        guard let token = mongoc_change_stream_get_resume_token(raw) else { return nil }
        return try BSONView.withView(of: token) { $0.copy() }
    }

    fileprivate borrowing func check() throws(MongoError) {
        var error = bson_error_t()
        var reply: OpaquePointer?
        guard mongoc_change_stream_error_document(raw, &error, &reply) else { return }
        throw MongoError(error, labels: reply.map(MongoError.Labels.init(of:)) ?? [])
    }
}
