import Contract
import Foundation
import JSON
import TestSupport
import Testing

/// A JSON value to write, and to find again.
private indirect enum Tree {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([Tree])
    case object([(String, Tree)])

    static func random(_ random: inout SeededGenerator, depth: Int) -> Tree {
        switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &random) {
        case 0: .null
        case 1: .bool(Bool.random(using: &random))
        case 2: .integer(random.element(of: [0, -1, 1 << 53, (1 << 53) + 1, .min, .max, Int64.random(in: -1000...1000, using: &random)]))
        case 3:
            .number(
                random.element(of: [
                    0.1, -0.5, 1e300, -1e-300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1e21, 123456789.25,
                    Double.random(in: -1e6...1e6, using: &random),
                ]))
        case 4: .string(random.text(upTo: 30))
        case 5: .array((0..<Int.random(in: 0...4, using: &random)).map { _ in .random(&random, depth: depth - 1) })
        default:
            .object(
                (0..<Int.random(in: 0...4, using: &random)).map { ("\($0)" + random.text(upTo: 8), .random(&random, depth: depth - 1)) })
        }
    }

    func write(into json: inout JSONWriter) {
        switch self {
        case .null: json.null()
        case .bool(let bool): json.bool(bool)
        case .integer(let integer): json.integer(integer)
        case .number(let number): json.number(number)
        case .string(let string): json.string(string)
        case .array(let items): json.array { json in for item in items { item.write(into: &json) } }
        case .object(let members):
            json.object { json in
                for (key, value) in members {
                    json.key(key)
                    value.write(into: &json)
                }
            }
        }
    }

    func equals(_ read: Any) -> Bool {
        switch self {
        case .null: read is NSNull
        case .bool(let bool): read as? Bool == bool
        case .integer(let integer): (read as? NSNumber)?.int64Value == integer
        case .number(let number): (read as? NSNumber).flatMap { Double($0.stringValue) } == number
        case .string(let string): (read as? String).map { Array($0.utf8) == Array(string.utf8) } ?? false
        case .array(let items):
            (read as? [Any]).map { $0.count == items.count && zip(items, $0).allSatisfy { $0.equals($1) } } ?? false
        case .object(let members):
            (read as? [String: Any]).map { read in
                read.count == members.count && members.allSatisfy { key, value in read[key].map { value.equals($0) } ?? false }
            } ?? false
        }
    }
}

@Suite struct JSONWriterTests {
    private func text(_ body: (inout JSONWriter) -> Void) -> String {
        var json = JSONWriter()
        body(&json)
        return String(decoding: json.bytes, as: UTF8.self)
    }

    @Test func whateverIsWrittenFoundationReadsBack() throws {
        var random = SeededGenerator()
        for _ in 0..<1500 {
            let tree = Tree.random(&random, depth: 4)
            var json = JSONWriter()
            tree.write(into: &json)
            let read = try JSONSerialization.jsonObject(with: Data(json.bytes), options: .fragmentsAllowed)
            #expect(tree.equals(read), "\(random): \(String(decoding: json.bytes, as: UTF8.self))")
        }
    }

    @Test func everyByteThatMustBeEscapedIsAndNoOther() {
        #expect(text { $0.string("a\"b\\c/d\u{8}\t\n\u{C}\r\u{0}\u{1f}\u{7f}é🎧") } == #""a\"b\\c/d\b\t\n\f\r\u0000\u001f"# + "\u{7f}é🎧\"")
    }

    @Test(arguments: [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-3.0, "-3"), (0.1, "0.1"), (30.95, "30.95"), (1e300, "1e+300"),
        (.leastNonzeroMagnitude, "5e-324"),
        (9_007_199_254_740_991.0, "9007199254740991"), (9_007_199_254_740_992.0, "9007199254740992.0"), (.infinity, "null"),
        (-.infinity, "null"), (.nan, "null"),
    ])
    func numbersAreTheShortestThatReadBack(number: Double, expected: String) {
        #expect(text { $0.number(number) } == expected)
    }

    @Test func integersAreWrittenToTheLastDigit() {
        #expect(text { $0.integer(Int64.min) } == "-9223372036854775808")
        #expect(text { $0.integer(Int64.max) } == "9223372036854775807")
        #expect(text { $0.integer(0) } == "0")
        #expect(text { $0.integer(UInt8.max) } == "255")
    }

    @Test func commasStandBetweenValuesAndNowhereElse() {
        let written = text { json in
            json.object { json in
                json.members([])
                json.key("a")
                json.array { json in
                    json.array { _ in }
                    json.object { _ in }
                    json.null()
                    Array(#"{"x":1}"#.utf8).withUnsafeBytes { json.raw($0) }
                }
                json.members(Array(#""b":1,"c":2"#.utf8))
                json.members([])
                json.key("d")
                json.literal("10.00")
            }
        }
        #expect(written == #"{"a":[[],{},null,{"x":1}],"b":1,"c":2,"d":10.00}"#)
    }

    @Test func nounsLookAlikeInEveryAnswer() throws {
        let yen = try #require(Currency(code: "JPY"))
        let written = text { json in
            json.array { json in
                json.id(EntityID(rawValue: 0x0192_0000_0000_7000_8000_0000_0000_0001))
                json.timestamp(Timestamp(milliseconds: 0))
                json.money(Money(minorUnits: 1000, currency: .usd))
                json.money(Money(minorUnits: 1200, currency: yen))
            }
        }
        #expect(written == #"["01920000-0000-7000-8000-000000000001","1970-01-01T00:00:00.000Z",10.00,1200]"#)
        #expect(
            text { json in json.object { $0.sources(Sources(mongo: .missing, redis: .stale)) } }
                == #"{"sources":{"mongo":"missing","redis":"stale"}}"#)
        #expect(
            text { json in json.object { $0.page(limit: 20, next: nil, total: 3, totalIsExact: true) } }
                == #"{"page":{"limit":20,"next":null,"total":3,"totalIsExact":true}}"#)
    }
}

@Suite struct DigestTests {
    @Test func theSameBytesHaveTheSameDigestInEveryRunAndCollection() {
        // Entity tags and cursors outlive a process: these values may never change.
        #expect(Digest("").value == Digest([]).value)
        #expect(Digest("kababeat 🎧").value == Digest(Array("kababeat 🎧".utf8)).value)
        #expect(Digest("").value == Self.empty)
        #expect(Digest("Summer Vibes").value == Self.summer)
    }

    private static let empty: UInt64 = 0x22d8_5fb8_01f1_b909
    private static let summer: UInt64 = 0x4ce3_9ad5_a615_14eb

    @Test func bytesThatDifferInLengthPlaceOrPartingDiffer() {
        var random = SeededGenerator()
        var seen = Set<UInt64>()
        for length in 0..<64 { seen.insert(Digest(Array(repeating: UInt8(0), count: length)).value) }
        #expect(seen.count == 64)
        let bytes = (0..<40).map { _ in UInt8.random(in: 0...255, using: &random) }
        var values = Set([Digest(bytes).value])
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                values.insert(Digest(changed).value)
            }
        }
        #expect(values.count == 321, "\(random)")
        var (one, other) = (Digest(), Digest())
        one.update("ab")
        one.update("c")
        other.update("a")
        other.update("bc")
        #expect(one.value != other.value)
    }

    @Test func everyFingerprintHasATextOfThirteenDigits() {
        for number in 0..<1000 {
            let text = Digest("\(number)").text
            #expect(text.utf8.count == 13 && UInt64(text, radix: 36) == Digest("\(number)").value && Digest.isText(text))
        }
    }

    @Test(arguments: ["", "bogus", "1q25rmml2qqm", "1q25rmml2qqm00", "1Q25RMML2QQM0", "+q25rmml2qqm0", "-q25rmml2qqm0", "zzzzzzzzzzzzz"])
    func whatNoFingerprintIsWrittenLikeIsNone(_ text: String) {
        #expect(!Digest.isText(text))
    }
}
