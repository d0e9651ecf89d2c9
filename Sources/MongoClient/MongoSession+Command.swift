import CMongoC

extension MongoSession {
    /// Runs a command as it is and returns the server's answer. It gets the job's time limit unless it has one.
    /// - Throws: what the server or the way to it gives, `.timeout`, `.cancelled`.
    public borrowing func command(_ document: BSONDocument, database: String? = nil) throws(MongoError) -> BSONBytes {
        try run(.plain, limited(document), database: database) { $0.copy() }
    }

    /// Runs a command that writes, such as `createIndexes`, with the client's write concern.
    /// - Throws: as ``command(_:database:)`` does.
    public borrowing func writeCommand(_ document: BSONDocument, database: String? = nil) throws(MongoError) -> BSONBytes {
        try run(.write, limited(document), database: database) { $0.copy() }
    }

    private borrowing func limited(_ document: BSONDocument) throws(MongoError) -> BSONDocument {
        let limit = try timeLimit()
        if document["maxTimeMS"] != nil { return document }
        var document = document
        document.append("maxTimeMS", limit)
        return document
    }

    enum CommandKind {
        case plain, read, write
    }

    borrowing func run<T>(
        _ kind: CommandKind, _ command: BSONDocument, database: String?, concern: BSONDocument? = nil,
        _ body: (borrowing BSONView) throws -> T
    ) throws(MongoError) -> T {
        let command = try BSONHandle(copying: command)
        let options = try kind == .write ? writeOptions(concern: concern) : self.options([:])
        let reply = BSONReply()
        var error = bson_error_t()
        let client = worker.client
        let database = database ?? worker.database
        let isDone = command.withPointer { command in
            options.withPointer { options in
                reply.withPointer { reply in
                    switch kind {
                    case .plain: mongoc_client_command_with_opts(client, database, command, nil, options, reply, &error)
                    case .read: mongoc_client_read_command_with_opts(client, database, command, nil, options, reply, &error)
                    case .write: mongoc_client_write_command_with_opts(client, database, command, options, reply, &error)
                    }
                }
            }
        }
        guard isDone else { throw MongoError(error, labels: MongoError.Labels(of: reply)) }
        return try reply.withView(body)
    }
}
