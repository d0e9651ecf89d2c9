import Testing

@testable import RedisClient

@Suite struct RedisCommandTests {
    private func text(_ command: RedisCommand) -> String { String(decoding: command.bytes, as: UTF8.self) }

    @Test func aCommandIsAnArrayOfStrings() {
        #expect(text(RedisCommand("GET", "key")) == "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n")
        #expect(text(RedisCommand("PING")) == "*1\r\n$4\r\nPING\r\n")
        #expect(text(RedisCommand(["SET", "k", "v"])) == "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n")
    }

    @Test func lengthsAreInBytes() {
        #expect(text(RedisCommand("ECHO", "naïve ♪")) == "*2\r\n$4\r\nECHO\r\n$10\r\nnaïve ♪\r\n")
        #expect(text(RedisCommand("ECHO", "")) == "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n")
    }

    @Test(arguments: [0, 9, 10, 99, 100, 12_345, 99_999, 100_000]) func anyLengthIsWritten(count: Int) {
        let value = [UInt8](repeating: 0x61, count: count)
        let expected = Array("*2\r\n$4\r\nECHO\r\n$\(count)\r\n".utf8) + value + Array("\r\n".utf8)
        #expect(RedisCommand("ECHO", .bytes(value)).bytes == expected)
    }

    @Test func bytesPassUnchanged() {
        let value = (0...255).map { UInt8($0) }
        #expect(Array(RedisCommand("ECHO", .bytes(value)).bytes.dropFirst(20).prefix(256)) == value)
    }

    @Test func numbersAreWrittenInFull() {
        #expect(
            text(RedisCommand("X", .integer(.min), .integer(.max))).contains(
                "$20\r\n-9223372036854775808\r\n$19\r\n9223372036854775807\r\n"))
        #expect(text(RedisCommand("X", .double(-0.1), .double(1e300))).contains("$4\r\n-0.1\r\n$6\r\n1e+300\r\n"))
        #expect(text(RedisCommand("X", .double(-Double.greatestFiniteMagnitude))).contains("-1.7976931348623157e+308"))
    }

    @Test func noPartsAreACommandThatTheServerRefuses() {
        #expect(text(RedisCommand([])) == "*1\r\n$0\r\n\r\n")
    }

    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
    ])
    func digestsAreThoseOfTheStandard(message: String, digest: String) {
        #expect(RedisScript(message).digest == digest)
    }

    @Test func everyPaddingLengthIsRight() {
        let million = RedisScript(String(repeating: "a", count: 1_000_000))
        #expect(million.digest == "34aa973cd4c4daa4f61eeb2bdbad27316534016f")
        // Of 0 to 200 times the letter a; their digests put in a row have this digest.
        let all = (0...200).map { SHA1.hexadecimal([UInt8](repeating: 0x61, count: $0)) }.joined()
        #expect(SHA1.hexadecimal(Array(all.utf8)) == "7088615e42aaa1f4ebf506af750412752e1ef172")
    }
}
