import MongoClient
import Testing

@Suite(.enabled(if: MongoTestServer.isThere)) struct MongoTransactionTests {
    private struct Abort: Error {}

    @Test func aTransactionThatThrowsLeavesNothing() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                _ = try session.writeCommand(["create": "c"])
                let error = #expect(throws: MongoError.self) {
                    try session.withTransaction { inner in
                        try inner.insertMany("c", [["_id": 1]])
                        #expect(try inner.findOne("c", ["_id": 1]) != nil)
                        #expect(try session.findOne("c", ["_id": 1]) == nil, "nobody outside sees it")
                        throw Abort()
                    }
                }
                #expect(error?.underlying is Abort)
                #expect(try session.count("c") == 0)
            }
        }
    }

    @Test func aTransactionTakesEffectAsOne() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                for name in ["a", "b"] { _ = try session.writeCommand(["create": .string(name)]) }
                let value = try session.withTransaction { inner in
                    try inner.insertMany("a", [["_id": 1]])
                    try inner.updateOne("b", ["_id": 1], ["$set": ["n": 1]], upsert: true)
                    _ = try inner.findOneAndUpdate("b", ["_id": 1], ["$inc": ["n": 1]])
                    return 5
                }
                #expect(value == 5)
                #expect(try session.findOne("a", ["_id": 1]) != nil)
                #expect(try session.findOne("b", ["_id": 1])?.withView { $0.int64OrNil("n") } == 2)
            }
        }
    }

    @Test func aLostConflictIsTriedAgain() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { try $0.insertMany("c", [["_id": 1, "n": 0]]) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await client.run(deadline: soon) { session in
                            try session.withTransaction { inner in
                                let found = try inner.findOne("c", ["_id": 1])
                                let number = try found?.withView { try $0.int64("n") } ?? -1
                                try inner.updateOne("c", ["_id": 1], ["$set": ["n": .int64(number + 1)]])
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let number = try await client.run(deadline: soon) { try $0.findOne("c", ["_id": 1])?.withView { $0.int64OrNil("n") } }
            #expect(number == 20)
        }
    }

    @Test func aChangeStreamSeesAnInsertAndGoesOnFromItsToken() async throws {
        try await withMongo { client in
            let token = try await client.run(deadline: soon) { session in
                _ = try session.writeCommand(["create": "c"])
                return try session.watch("c", [["$match": ["operationType": "insert"]]], maxAwait: .milliseconds(200)) { stream in
                    #expect(try stream.tryNext { $0.copy() } == nil)
                    try session.insertMany("c", [["_id": 1], ["_id": 2]])
                    #expect(try Self.nextKey(stream) == 1)
                    return try #require(try stream.resumeToken())
                }
            }
            let key = try await client.run(deadline: soon) { session in
                try session.watch("c", resumeAfter: token, maxAwait: .milliseconds(200), fullDocument: true) { try Self.nextKey($0) }
            }
            #expect(key == 2)
        }
    }

    private static func nextKey(_ stream: borrowing MongoChangeStream) throws -> Int64? {
        for _ in 0..<50 {
            if let key = try stream.tryNext({ try $0.int64("fullDocument._id") }) { return key }
        }
        return nil
    }
}
