import Testing

@testable import RedisClient

@Suite struct ReplyReaderTests {
    /// What comes of some bytes, fed in portions.
    private func read(_ bytes: [UInt8], portion: Int = .max, limit: Int = 1 << 20) throws -> [RedisValue] {
        guard var reader = ReplyReader(replyLimit: limit) else { throw RedisError(.connection, "out of memory") }
        var replies: [RedisValue] = []
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + min(portion, bytes.count))
            try bytes[start..<end].withUnsafeBytes { try reader.feed($0) }
            while let reply = try reader.next() { replies.append(reply) }
            start = end
        }
        return replies
    }

    private func read(_ text: String, portion: Int = .max, limit: Int = 1 << 20) throws -> [RedisValue] {
        try read(Array(text.utf8), portion: portion, limit: limit)
    }

    @Test func everyKindOfReplyIsRead() throws {
        let replies = try read("+OK\r\n-ERR no\r\n:-42\r\n$5\r\nhello\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n:1\r\n$-1\r\n")
        #expect(
            replies == [
                .status("OK"), .error("ERR no"), .integer(-42), .string(Array("hello".utf8)), .string([]), .null, .null, .array([]),
                .array([.integer(1), .null]),
            ])
    }

    @Test(arguments: [1, 2, 3, 5, 7, 16]) func repliesMayArriveInAnyPortions(portion: Int) throws {
        let text = "*3\r\n*2\r\n$3\r\na\r\n\r\n:7\r\n*0\r\n*1\r\n*1\r\n+deep\r\n:9223372036854775807\r\n"
        let expected: [RedisValue] = [
            .array([.array([.string(Array("a\r\n".utf8)), .integer(7)]), .array([]), .array([.array([.status("deep")])])]),
            .integer(.max),
        ]
        #expect(try read(text, portion: portion) == expected)
    }

    @Test func manyRepliesInOnePortionComeInOrder() throws {
        let replies = try read((0..<5000).map { ":\($0)\r\n" }.joined())
        #expect(replies == (0..<5000).map { .integer(Int64($0)) })
    }

    @Test(arguments: ["?\r\n", "hello\r\n", "$-2\r\n", "*-2\r\n", "$99999999999999999999\r\n", "\r\n\r\n", "HTTP/1.1 400\r\n"])
    func whatIsNoReplyIsAnError(text: String) {
        let error = #expect(throws: RedisError.self) { try read(text) }
        #expect(error?.code == .protocolViolation)
    }

    @Test func repliesAreReadSevenDeepAndNoDeeper() throws {
        func nested(_ depth: Int) -> String { String(repeating: "*1\r\n", count: depth) + ":1\r\n" }
        #expect(try read(nested(7)).count == 1)
        let error = #expect(throws: RedisError.self) { try read(nested(9)) }
        #expect(error?.code == .protocolViolation)
    }

    @Test func aStringOverTheLimitIsRefusedBeforeAllOfItIsHere() throws {
        let error = #expect(throws: RedisError.self) {
            try read("$1000000\r\n" + String(repeating: "x", count: 5000), portion: 100, limit: 4096)
        }
        #expect(error?.code == .protocolViolation)
    }

    @Test func manySmallPartsOverTheLimitAreRefused() throws {
        let error = #expect(throws: RedisError.self) {
            try read("*1000000\r\n" + String(repeating: "$-1\r\n", count: 5000), portion: 100, limit: 4096)
        }
        #expect(error?.code == .protocolViolation)
    }

    @Test func aHugeCountCostsNoMemoryOfItsOwn() throws {
        #expect(try read("*2147483647\r\n:1\r\n") == [])
    }

    @Test func theLimitIsForEachReply() throws {
        let reply = "$3000\r\n" + String(repeating: "x", count: 3000) + "\r\n"
        #expect(try read(String(repeating: reply, count: 20), portion: 1000, limit: 4096).count == 20)
    }
}
