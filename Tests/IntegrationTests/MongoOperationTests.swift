import Testing

@testable import MongoClient

@Suite(.enabled(if: MongoTestServer.isThere)) struct MongoOperationTests {
    @Test func everyKindOfValueComesBackByteForByteAndInOrder() async throws {
        let id: UInt128 = 0x0192_ABCD_0000_7000_8000_FFFF_0000_0001
        let document: BSONDocument = [
            "_id": .uuid(id), "z": nil, "a": true, "int32": .int32(-5), "int64": 7_000_000_000, "double": 0.5, "text": "naïve\0🎧",
            "date": .date(milliseconds: -1), "binary": .binary([0, 255]), "nested": ["b": ["x": 1], "a": 2], "list": [1, "two", [3], [:]],
        ]
        try await withMongo { client in
            let found = try await client.run(deadline: soon) { session in
                try session.insertMany("c", [document])
                return try session.findOne("c", ["_id": .uuid(id)])
            }
            #expect(found?.bytes == document.asBytes.bytes)
        }
    }

    @Test func kindsThatOnlyTheServerMakesAreReadToo() async throws {
        try await withMongo { client in
            let kinds = try await client.run(deadline: soon) { session in
                try session.insertMany("c", [["_id": 1, "n": 7, "s": "12.5"]])
                var kinds: [String: BSONKind] = [:]
                let stage: BSONDocument = [
                    "decimal": ["$toDecimal": "$s"], "objectID": ["$toObjectId": "0123456789abcdef01234567"], "now": "$$NOW",
                    "match": ["$regexFind": ["input": "$s", "regex": "1"]],
                ]
                try session.aggregate("c", [["$project": .document(stage)]]) { view in view.forEach { kinds[$0.key] = $0.kind } }
                return kinds
            }
            #expect(kinds == ["_id": .int64, "decimal": .decimal128, "objectID": .objectID, "now": .date, "match": .document])
        }
    }

    @Test func findHonoursProjectionSortSkipLimitAndHint() async throws {
        try await withMongo { client in
            let (numbers, keys) = try await client.run(deadline: soon) { session in
                try session.insertMany("c", (0..<300).map { ["_id": .int64($0), "n": .int64(-$0), "x": "y"] })
                var numbers: [Int64] = []
                var keys: Set<String> = []
                try session.find(
                    "c", ["n": ["$lte": -10]], projection: ["n": 1], sort: ["n": 1], skip: 5, limit: 150, hint: "_id_", batchSize: 20,
                    readConcern: .majority
                ) { view in
                    numbers.append(try view.int64("n"))
                    view.forEach { keys.insert($0.key) }
                }
                return (numbers, keys)
            }
            #expect(numbers == (0..<150).map { -294 + $0 })
            #expect(keys == ["_id", "n"])
        }
    }

    @Test func countStopsAtItsLimitAndTakesAHint() async throws {
        try await withMongo { client in
            let counts = try await client.run(deadline: soon) { session in
                try session.insertMany("c", (0..<50).map { ["n": .int64($0)] })
                let filter: BSONDocument = ["n": ["$gte": 10]]
                return [
                    try session.count("c"), try session.count("c", filter), try session.count("c", filter, limit: 7, hint: ["_id": 1]),
                    try session.count("none"),
                ]
            }
            #expect(counts == [50, 40, 7, 0])
        }
    }

    @Test func anErrorOfTheBodyEndsTheWalkAndKeepsItsType() async throws {
        struct Mine: Error {}
        try await withMongo { client in
            let error = await mongoError {
                try await client.run(deadline: soon) { session in
                    try session.insertMany("c", [["n": 1], ["n": 2]])
                    try session.find("c", [:]) { _ in throw Mine() }
                }
            }
            #expect(error?.code == .body)
            #expect(error?.underlying is Mine)
        }
    }

    @Test func insertManyReportsEachRefusedDocumentAndKeepsTheOthers() async throws {
        try await withMongo { client in
            let (result, count) = try await client.run(deadline: soon) { session in
                let result = try session.insertMany("c", [["_id": 1], ["_id": 2], ["_id": 1], ["_id": 3], ["_id": 2]])
                return (result, try session.count("c"))
            }
            #expect(result.inserted == 3 && count == 3)
            #expect(result.failures.map(\.index) == [2, 4])
            #expect(result.failures.allSatisfy { $0.code == .duplicateKey })
        }
    }

    @Test func anOrderedBulkStopsAtTheFirstRefusal() async throws {
        try await withMongo { client in
            let result = try await client.run(deadline: soon) { session in
                try session.insertMany("c", [["_id": 1], ["_id": 1], ["_id": 2]], ordered: true)
            }
            #expect(result.inserted == 1)
            #expect(result.failures.map(\.index) == [1])
        }
    }

    @Test func aVersionFenceLetsOnlyNewerVersionsIn() async throws {
        @Sendable func write(_ version: Int64) -> MongoWrite {
            .replaceOne(filter: ["_id": "beat", "v": ["$lt": .int64(version)]], ["v": .int64(version)], upsert: true)
        }
        try await withMongo { client in
            let (first, second, version) = try await client.run(deadline: soon) { session in
                let first = try session.bulkWrite("c", [write(5)])
                let second = try session.bulkWrite("c", [write(4), write(5), write(7)])
                return (first, second, try session.findOne("c", ["_id": "beat"])?.withView { $0.int64OrNil("v") })
            }
            #expect(first.upserted == [0] && first.failures.isEmpty)
            #expect(second.failures.map(\.index) == [0, 1])
            #expect(second.failures.allSatisfy { $0.code == .duplicateKey }, "a newer one is there")
            #expect(second.matched == 1 && second.modified == 1)
            #expect(version == 7)
        }
    }

    @Test func bulksMixEveryKindOfWrite() async throws {
        try await withMongo { client in
            let result = try await client.run(deadline: soon) { session in
                try session.bulkWrite(
                    "c",
                    [
                        .insertOne(["_id": 1, "n": 1]), .insertOne(["_id": 2, "n": 1]), .insertOne(["_id": 3, "n": 1]),
                        .updateOne(filter: ["_id": 1], update: ["$set": ["n": 2]]),
                        .updateMany(filter: ["n": 1], update: ["$inc": ["n": 10]]),
                        .updateOne(filter: ["_id": 9], update: ["$set": ["n": 9]], upsert: true),
                        .deleteOne(filter: ["_id": 2]), .deleteMany(filter: ["n": ["$gte": 9]]),
                    ], ordered: true)
            }
            #expect(result.inserted == 3 && result.matched == 3 && result.modified == 3 && result.deleted == 3)
            #expect(result.upserted == [5] && result.failures.isEmpty)
        }
    }

    @Test func updatesAndDeletesSayWhatTheyDid() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                let filter: BSONDocument = ["_id": 1]
                #expect(try session.updateOne("c", filter, ["$set": ["n": 1]], upsert: true).isUpserted)
                let again = try session.updateOne("c", filter, ["$set": ["n": 1]])
                #expect(again.matched == 1 && again.modified == 0 && !again.isUpserted)
                #expect(try session.replaceOne("c", filter, ["n": 2]).modified == 1)
                #expect(try session.updateMany("c", [:], ["$inc": ["n": 1]]).modified == 1)
                let before = try session.findOneAndUpdate("c", filter, ["$inc": ["n": 1]], returnNew: false)
                #expect(before?.withView { $0.int64OrNil("n") } == 3)
                let after = try session.findOneAndUpdate("c", filter, ["$inc": ["n": 1]], projection: ["n": 1])
                #expect(after?.withView { $0.int64OrNil("n") } == 5)
                #expect(try session.findOneAndUpdate("c", ["_id": 2], ["$inc": ["n": 1]]) == nil)
                #expect(try session.findOneAndDelete("c", filter) != nil)
                #expect(try session.deleteOne("c", filter) == false)
                try session.insertMany("c", [["_id": 1], ["_id": 2]])
                #expect(try session.deleteMany("c", [:]) == 2)
            }
        }
    }

    @Test func serverErrorsAreMapped() async throws {
        try await withMongo { client in
            try await client.run(deadline: soon) { session in
                let rule: BSONDocument = ["$jsonSchema": ["required": ["title"]]]
                _ = try session.writeCommand(["create": "strict", "validator": .document(rule)])
                try session.insertMany("c", [["_id": 1]])
            }
            let validation = try await client.run(deadline: soon) { try $0.insertMany("strict", [["x": 1]]) }
            #expect(validation.failures.map(\.code) == [.validation])
            let update = await mongoError {
                try await client.run(deadline: soon) { try $0.updateOne("strict", ["x": 1], ["$set": ["x": 1]], upsert: true) }
            }
            #expect(update?.code == .validation)
            let duplicate = await mongoError {
                try await client.run(deadline: soon) { try $0.updateOne("c", ["_id": 1, "x": 1], ["$set": ["y": 1]], upsert: true) }
            }
            #expect(duplicate?.code == .duplicateKey)
            #expect(duplicate.map { "\($0)" } == "a document with this key exists already")
            let unknown = await mongoError { try await client.run(deadline: soon) { try $0.command(["noSuchCommand": 1]) } }
            #expect(unknown?.code == .server(code: 59))
            let operatorError = await mongoError { try await client.run(deadline: soon) { try $0.find("c", ["x": ["$no": 1]]) { _ in } } }
            #expect(operatorError?.code == .server(code: 2))
            let tooLarge = await mongoError {
                try await client.run(deadline: soon) { session in
                    try session.insertMany("c", [["x": .binary([UInt8](repeating: 0, count: 17 << 20))]])
                }
            }
            #expect(tooLarge?.code == .encoding)
        }
    }

    @Test func theServersTimeLimitIsATimeout() async throws {
        try await withMongo { client in
            let error = await mongoError {
                try await client.run(deadline: soon) { session in
                    try session.insertMany("c", (0..<40).map { ["_id": .int64($0)] })
                    try session.find("c", ["$where": "sleep(20) || true"], maxTime: .milliseconds(100)) { _ in }
                }
            }
            #expect(error?.code == .timeout)
            #expect(error?.debugDescription.contains("50") == true)
        }
    }

    @Test func invalidUTF8InTheServerIsRefusedNotHandedOn() async throws {
        var bytes = (["_id": 1, "text": "abcdefgh"] as BSONDocument).asBytes.bytes
        let position = try #require(bytes.lastIndex(of: UInt8(ascii: "d")))
        bytes[position] = 0xFF
        // Only a test can make such a document: the bytes are taken unchecked.
        let damaged = BSONBytes(checked: bytes)
        try await withMongo { client in
            let error = await mongoError {
                try await client.run(deadline: soon) { session in
                    _ = try session.writeCommand(["insert": "c", "documents": [.raw(damaged)]])
                    try session.find("c", [:]) { _ in }
                }
            }
            #expect(error?.code == .decoding)
        }
    }

    @Test func aDocumentThatCannotBeSentIsRefusedBeforeItIs() async throws {
        try await withMongo { client in
            let error = await mongoError { try await client.run(deadline: soon) { try $0.find("c", ["role\0": "admin"]) { _ in } } }
            #expect(error?.code == .encoding)
            let name = await mongoError { try await client.run(deadline: soon) { try $0.find("c\0d", [:]) { _ in } } }
            #expect(name?.code == .refused)
        }
    }
}
