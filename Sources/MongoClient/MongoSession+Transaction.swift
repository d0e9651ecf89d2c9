import CMongoC

extension MongoSession {
    /// Runs `body` in a transaction: all of its operations take effect together, or none does.
    ///
    /// Only operations of the session lent to `body` belong to it. A transaction that lost a conflict is tried again, and a
    /// commit whose outcome is unknown is repeated, until the job's deadline; so `body` may run several times.
    /// - Throws: what `body` throws (the transaction is then aborted), or what the commit gives.
    public borrowing func withTransaction<T>(_ body: (borrowing MongoSession) throws -> T) throws(MongoError) -> T {
        guard transaction == nil else { throw MongoError(.refused, detail: "a transaction within a transaction") }
        try checkDeadline()
        let session = try ClientSession(client: worker.client)
        while true {
            do {
                try session.begin()
                let result = try session.withPointer { (raw) throws(MongoError) -> T in
                    do {
                        return try body(MongoSession(of: self, in: raw))
                    } catch {
                        throw MongoError(wrapping: error)
                    }
                }
                try commit(session)
                return result
            } catch {
                session.abort()
                guard error.labels.contains(.transientTransaction) else { throw error }
                try checkDeadline()
            }
        }
    }

    private borrowing func commit(_ session: borrowing ClientSession) throws(MongoError) {
        while true {
            try checkDeadline()
            do {
                try session.commit()
                return
            } catch {
                guard error.labels.contains(.unknownCommitResult) else { throw error }
            }
        }
    }
}

/// Owns a session of the driver's and frees it once; a transaction left open is aborted by that.
private struct ClientSession: ~Copyable {
    private let raw: OpaquePointer

    init(client: OpaquePointer) throws(MongoError) {
        var error = bson_error_t()
        guard let raw = mongoc_client_start_session(client, nil, &error) else { throw MongoError(error) }
        self.raw = raw
    }

    deinit { mongoc_client_session_destroy(raw) }

    borrowing func withPointer<T, E: Error>(_ body: (OpaquePointer) throws(E) -> T) throws(E) -> T {
        try body(raw)
    }

    borrowing func begin() throws(MongoError) {
        var error = bson_error_t()
        guard mongoc_client_session_start_transaction(raw, nil, &error) else { throw MongoError(error) }
    }

    borrowing func commit() throws(MongoError) {
        let reply = BSONReply()
        var error = bson_error_t()
        let isDone = reply.withPointer { mongoc_client_session_commit_transaction(raw, $0, &error) }
        guard isDone else { throw MongoError(error, labels: MongoError.Labels(of: reply)) }
    }

    /// The server aborts by itself what this does not reach.
    borrowing func abort() {
        if mongoc_client_session_in_transaction(raw) { mongoc_client_session_abort_transaction(raw, nil) }
    }
}
