/// Which primary took writes, by the election that made it one. A server that was elected twice has two.
public struct MongoTerm: Sendable, Hashable {
    let election: [UInt8]
}

extension MongoSession {
    /// For how many milliseconds the server waits for a majority before it says that there is none yet: a connection may be silent for longer.
    private static let patience: Int32 = 500

    /// Runs `body`, whose writes the primary alone acknowledges once it has them on disk: a failover may yet take them back. Returns with
    /// the term in which they were made, which ``settle(_:)`` makes sure of: many writes, and one wait for a majority in place of one
    /// each. While a member of the set is silent, such a wait may take as long as the others take to hear of each other.
    ///
    /// Nil in place of a term where there is no such thing, as behind a router: each write is durable then once it is acknowledged.
    /// - Throws: what `body` throws, what the server or the way to it gives, `.timeout`, `.cancelled`.
    public borrowing func unsettled<T>(
        _ body: (borrowing MongoSession) throws -> T
    ) throws(MongoError) -> (value: T, term: MongoTerm?) {
        guard transaction == nil else { throw MongoError(.refused, detail: "a transaction is settled by its commit") }
        let term = try term()
        do {
            let value = try body(MongoSession(of: self, isUnsettled: term != nil))
            // Readers may have found it by now: a primary that is killed and started again must not have forgotten it.
            if term != nil { try writeNothing(["w": .int32(1), "j": true]) }
            return (value, term)
        } catch {
            throw MongoError(wrapping: error)
        }
    }

    /// Returns once a majority has on disk all that was written in `term` until now. Waits for that until the job's deadline.
    ///
    /// A write that changes nothing is acknowledged by a majority once that has everything before it. It says something of other writes
    /// only where they were made in the same term: asked before the first write and after the last, the server names the same election.
    /// - Throws: `.unavailable` where another primary has taken over meanwhile, so that what was written may be gone; `.timeout`,
    ///   `.cancelled`, what the server or the way to it gives.
    public borrowing func settle(_ term: MongoTerm) throws(MongoError) {
        while true {
            try checkDeadline()
            do {
                try writeNothing(["w": "majority", "j": true, "wtimeout": .int32(Self.patience)])
                break
            } catch {
                // The primary answers, and has no majority yet.
                guard error.code == .timeout else { throw error }
            }
        }
        guard try self.term() == term else { throw MongoError(.unavailable, detail: "another primary has taken over") }
    }

    /// A write that changes nothing. Acknowledged, it says of all before it what `concern` asks for.
    private borrowing func writeNothing(_ concern: BSONDocument) throws(MongoError) {
        let nothing: BSONDocument = [
            "update": "settled", "updates": [.document(["q": ["_id": 0], "u": ["$set": ["settled": true]]])],
        ]
        try run(.write, nothing, database: nil, concern: concern) { _ in }
    }

    private borrowing func term() throws(MongoError) -> MongoTerm? {
        try command(["hello": 1], database: "admin").withView { hello in
            // As bytes: nothing is asked of it but whether it is the same.
            hello.withField("electionId") { id in
                MongoTerm(election: [UInt8](UnsafeRawBufferPointer(start: id.value, count: id.valueByteCount)))
            }
        }
    }
}
