import Testing

@testable import MongoClient

/// One document with a field of every kind there is, by hand.
let everyKind: [UInt8] = {
    var body: [UInt8] = []
    func field(_ kind: UInt8, _ name: String, _ value: [UInt8]) {
        body += [kind] + Array(name.utf8) + [0] + value
    }
    func text(_ text: String) -> [UInt8] {
        withUnsafeBytes(of: UInt32(text.utf8.count + 1).littleEndian, Array.init) + Array(text.utf8) + [0]
    }
    field(0x10, "_id", [7, 0, 0, 0])
    field(0x01, "double", withUnsafeBytes(of: (1.5).bitPattern.littleEndian, Array.init))
    field(0x02, "string", text("naïve\0🎧"))
    field(0x03, "document", [12, 0, 0, 0, 0x10, 0x61, 0, 5, 0, 0, 0, 0])
    field(0x04, "array", [12, 0, 0, 0, 0x10, 0x30, 0, 5, 0, 0, 0, 0])
    field(0x05, "binary", [3, 0, 0, 0, 0, 1, 2, 3])
    field(0x05, "uuid", [16, 0, 0, 0, 4] + (1...16))
    field(0x06, "undefined", [])
    field(0x07, "objectID", Array(1...12))
    field(0x08, "bool", [1])
    field(0x09, "date", withUnsafeBytes(of: Int64(-1).littleEndian, Array.init))
    field(0x0A, "null", [])
    field(0x0B, "regularExpression", Array("^a".utf8) + [0] + Array("i".utf8) + [0])
    field(0x0C, "databasePointer", text("db.c") + Array(1...12))
    field(0x0D, "code", text("f()"))
    field(0x0E, "symbol", text("s"))
    field(0x0F, "codeWithScope", [17, 0, 0, 0] + text("f()") + [5, 0, 0, 0, 0])
    field(0x10, "int32", withUnsafeBytes(of: Int32.min.littleEndian, Array.init))
    field(0x11, "timestamp", [1, 0, 0, 0, 2, 0, 0, 0])
    field(0x12, "int64", withUnsafeBytes(of: Int64.max.littleEndian, Array.init))
    field(0x13, "decimal128", Array(repeating: 0, count: 15) + [0x30])
    field(0x7F, "maximumKey", [])
    field(0xFF, "minimumKey", [])
    return withUnsafeBytes(of: UInt32(body.count + 5).littleEndian, Array.init) + body + [0]
}()

@Suite struct BSONTests {
    @Test func documentsAreEncodedAsTheSpecificationSays() {
        let document: BSONDocument = ["hello": "world"]
        #expect(document.asBytes.bytes == [0x16, 0, 0, 0, 2] + Array("hello\0".utf8) + [6, 0, 0, 0] + Array("world\0\0".utf8))
        #expect(BSONDocument().asBytes.bytes == [5, 0, 0, 0, 0])
    }

    @Test func whatIsWrittenReadsBackInItsOrder() throws {
        let id: UInt128 = 0x0192_0000_0000_7000_8000_0000_0000_0001
        let document: BSONDocument = [
            "z": nil, "a": true, "int32": .int32(-5), "int64": 7_000_000_000, "double": 0.5, "string": "naïve 🎧",
            "date": .date(milliseconds: 1_700_000_000_123), "uuid": .uuid(id), "binary": .binary([0, 255]), "nested": ["$lt": ["x": 1]],
            "array": [1, "two", [3]], "raw": .raw((["k": "v"] as BSONDocument).asBytes),
        ]
        let bytes = try BSONBytes(validating: document.asBytes.bytes)
        var keys: [String] = []
        bytes.withView { $0.forEach { keys.append($0.key) } }
        #expect(keys == ["z", "a", "int32", "int64", "double", "string", "date", "uuid", "binary", "nested", "array", "raw"])
        #expect(document.count == 12)
        bytes.withView { view in
            #expect(view.withField("z") { $0.isNull } == true)
            #expect(view.boolOrNil("a") == true)
            #expect(view.int64OrNil("int32") == -5)
            #expect(view.int64OrNil("int64") == 7_000_000_000)
            #expect(view.doubleOrNil("double") == 0.5)
            #expect(view.stringOrNil("string") == "naïve 🎧")
            #expect(view.dateMillisecondsOrNil("date") == 1_700_000_000_123)
            #expect(view.uuidOrNil("uuid") == id)
            #expect(view.withField("binary") { $0.withBinary { [$0] + [UInt8]($1) } } == [0, 0, 255])
            #expect(view.int64OrNil("nested.$lt.x") == 1)
            #expect(view.stringOrNil("array.1") == "two")
            #expect(view.int64OrNil("array.2.0") == 3)
            #expect(view.stringOrNil("raw.k") == "v")
        }
    }

    @Test func aUUIDIsBinaryOfSubtypeFourMostSignificantByteFirst() {
        let document: BSONDocument = ["u": .uuid(0x0102_0304_0506_0708_090A_0B0C_0D0E_0F10)]
        #expect(document.asBytes.bytes.dropFirst(7).dropLast() == [16, 0, 0, 0, 4] + (1...16))
    }

    @Test func numbersAreReadAsWhatTheyCanBeAndNothingElse() {
        let document: BSONDocument = ["whole": 3.0, "half": 2.5, "huge": 1e300, "text": "3", "int": .int32(4)]
        document.asBytes.withView { view in
            #expect(view.int64OrNil("whole") == 3)
            #expect(view.int64OrNil("half") == nil)
            #expect(view.int64OrNil("huge") == nil)
            #expect(view.int64OrNil("text") == nil)
            #expect(view.doubleOrNil("int") == 4)
            #expect(view.stringOrNil("int") == nil)
            #expect(view.uuidOrNil("text") == nil)
        }
    }

    @Test func aMissingRequiredFieldIsADecodingErrorThatNamesIt() {
        let error = #expect(throws: MongoError.self) { try (["a": 1] as BSONDocument).asBytes.withView { _ = try $0.string("a.b") } }
        #expect(error?.code == .decoding)
        #expect(error?.debugDescription.contains("a.b") == true)
    }

    @Test func everyKindIsWalkedOver() throws {
        let bytes = try BSONBytes(validating: everyKind)
        var kinds: [BSONKind] = []
        bytes.withView { $0.forEach { kinds.append($0.kind) } }
        #expect(Set(kinds).count == 21)
        #expect(bytes.withView { $0.withField("minimumKey") { $0.kind } } == .minimumKey)
        #expect(bytes.withView { $0.stringOrNil("string") } == "naïve\0🎧")
        #expect(bytes.withView { $0.dateMillisecondsOrNil("date") } == -1)
        #expect(bytes.withView { $0.int64OrNil("document.a") } == 5)
        #expect(bytes.withView { $0.copy() } == bytes)
    }

    @Test func everyTruncationAndMostBitFlipsOfADocumentAreRefusedAndNoneIsReadOutOfBounds() {
        for count in 0..<everyKind.count {
            #expect(throws: MongoError.self) { try BSONBytes(validating: Array(everyKind.prefix(count))) }
        }
        for position in everyKind.indices {
            for bit in 0..<8 {
                var damaged = everyKind
                damaged[position] ^= 1 << UInt8(bit)
                guard let bytes = try? BSONBytes(validating: damaged) else { continue }
                bytes.withView { $0.forEach { _ = $0.valueOrNil } }
            }
        }
        #expect(throws: MongoError.self) { try BSONBytes(validating: everyKind + [0]) }
    }

    @Test func invalidUTF8IsRefusedInTextAndInKeys() {
        let good: BSONDocument = ["key": "text-of-some-length"]
        for position in [5, 14, 20] {
            var bytes = good.asBytes.bytes
            bytes[position] = 0xC3
            #expect(throws: MongoError.self) { try BSONBytes(validating: bytes) }
        }
    }

    @Test func nestingWithoutEndIsRefused() {
        var document: BSONDocument = ["x": 1]
        for _ in 0..<200 { document = ["x": .document(document)] }
        #expect(throws: MongoError.self) { try BSONBytes(validating: document.asBytes.bytes) }
    }

    @Test func settingAFieldKeepsItsPlaceAndNilRemovesIt() {
        var document: BSONDocument = ["a": 1, "b": 2, "c": 3]
        document["b"] = "two"
        document["d"] = 4
        document["a"] = nil
        #expect(document == ["b": "two", "c": 3, "d": 4])
        #expect(document.count == 3)
        #expect(document["b"] == "two")
        #expect(document["a"] == nil)
        #expect(document["c.x"] == nil)
    }

    @Test func aKeyWithNULSpoilsTheDocumentInsteadOfNamingAnotherField() {
        #expect(!(["admin\0x": 1] as BSONDocument).isWellFormed)
        #expect(!(["a": [["b": [["c\0": 1]]]]] as BSONDocument).isWellFormed)
        var document: BSONDocument = ["a": 1]
        document["a\0"] = 2
        #expect(!document.isWellFormed)
        var other: BSONDocument = [:]
        other.append(contentsOf: document)
        #expect(!other.isWellFormed)
        #expect(throws: MongoError.self) { _ = try BSONHandle(copying: other) }
    }

    @Test(
        arguments: [
            ["$set": 1], ["a": ["$where": "x"]], ["a": [["b.c": 1]]], ["": 1], ["text": "a\0b"], ["k\0": 1],
        ] as [BSONDocument])
    func storedContentHasNoOperatorsPathsOrNUL(_ document: BSONDocument) {
        let error = #expect(throws: MongoError.self) { try document.checkStorable() }
        #expect(error?.code == .encoding)
    }

    @Test func storedContentIsBoundedInDepthAndSize() throws {
        var document: BSONDocument = ["x": ["y", ["z": "…"]]]
        try document.checkStorable()
        for _ in 0..<32 { document = ["x": .document(document)] }
        #expect(throws: MongoError.self) { try document.checkStorable() }
        let long: BSONDocument = ["x": .string(String(repeating: "a", count: 100))]
        #expect(throws: MongoError.self) { try long.checkStorable(maximumBytes: 100) }
    }

    @Test func arraysHaveTheirIndexesAsKeys() throws {
        let document: BSONDocument = ["a": .array((0..<1234).map { .int64($0) })]
        let bytes = try BSONBytes(validating: document.asBytes.bytes)
        #expect(bytes.withView { $0.int64OrNil("a.1233") } == 1233)
        #expect(bytes.withView { $0.int64OrNil("a.100") } == 100)
    }
}
