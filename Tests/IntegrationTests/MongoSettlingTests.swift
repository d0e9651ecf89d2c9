import TestSupport
import Testing

@testable import MongoClient

/// Writes whose durability is waited for together.
@Suite(.enabled(if: MongoTestServer.isThere)) struct MongoSettlingTests {
    /// The write concerns of whole commands that write to `collection`, from the server's profile of the client's own database.
    private static func concerns(_ collection: String, _ session: borrowing MongoSession) throws -> Set<String> {
        var concerns: Set<String> = []
        let writes: BSONDocument = [
            "ns": .string("\(session.database).\(collection)"), "command.writeConcern": ["$exists": true],
        ]
        try session.find("system.profile", writes) { entry in
            let number = entry.int64OrNil("command.writeConcern.w").map(String.init)
            concerns.insert(entry.stringOrNil("command.writeConcern.w") ?? number ?? "")
        }
        return concerns
    }

    @Test func whatIsSettledTogetherWaitsForAMajorityOnce() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                _ = try session.command(["profile": 2])
                let (value, term) = try session.unsettled { inner in
                    try inner.insertMany("c", [["_id": 1]])
                    _ = try inner.findOneAndUpdate("c", ["_id": 1], ["$set": ["n": 1]])
                    return 5
                }
                #expect(value == 5)
                // Readers need not wait.
                #expect(try session.findOne("c", ["_id": 1])?.withView { $0.int64OrNil("n") } == 1)
                try session.settle(try #require(term))
                try session.insertMany("d", [["_id": 1]])
                _ = try session.command(["profile": 0])
                #expect(try Self.concerns("c", session) == ["1"])
                #expect(try Self.concerns("d", session) == ["majority"])
                #expect(try session.count("settled") == 0)
            }
        }
    }

    @Test func whatWasWrittenInAnotherTermIsNotSettled() async throws {
        try await withMongo { client in
            let error = await mongoError {
                try await client.run(deadline: soon) { try $0.settle(MongoTerm(election: [UInt8](repeating: 7, count: 12))) }
            }
            #expect(error?.code == .unavailable)
        }
    }

    @Test func whatABodyThrowsEndsItAndKeepsItsType() async throws {
        struct Stop: Error {}
        try await withMongo { client in
            let error = await mongoError {
                try await client.run(deadline: soon) { session in
                    try session.unsettled { _ in throw Stop() }.value as Int
                }
            }
            #expect(error?.underlying is Stop)
            let inTransaction = await mongoError {
                try await client.run(deadline: soon) { session in
                    try session.withTransaction { inner in try inner.unsettled { _ in 1 }.value }
                }
            }
            #expect(inTransaction?.code == .refused)
        }
    }
}
