import Foundation
import JSON
import TestSupport
import Testing

@Suite struct JSONParserTests {
    private static func parse(_ text: String) throws(JSONError) -> JSONValue { try JSONValue(Array(text.utf8)) }

    private static func reason(_ bytes: [UInt8]) -> JSONError.Reason? {
        do throws(JSONError) {
            _ = try JSONValue(bytes)
            return nil
        } catch {
            return error.reason
        }
    }

    @Test func everyKindOfValueIsRead() throws {
        let value = try Self.parse(#" {"a": [null, true, false, -0.10e+2, "x"], "b": {} , "c" : [ ] } "#)
        #expect(
            value
                == .object([
                    "a": .array([.null, .bool(true), .bool(false), .number("-0.10e+2"), .text("x")]), "b": .object([:]), "c": .array([]),
                ]))
    }

    @Test func aNumberKeepsItsDigits() throws {
        for digits in ["0", "-0", "0.10", "9007199254740993", "1E400", "0.1000000000000000055511151231257827", "12e-3"] {
            #expect(try Self.parse(digits) == .number(digits))
        }
    }

    @Test func escapesStandForTheirCharacters() throws {
        #expect(try Self.parse(#""\"\\\/\b\f\n\r\t\u00e9\u0001\ud83c\uDFA7é""#) == .text("\"\\/\u{8}\u{C}\n\r\t\u{e9}\u{1}\u{1F3A7}é"))
    }

    @Test(arguments: [
        "", " ", "{", "[", "\"", "\"a", "{\"a\"", "{\"a\":", "{\"a\":1", "[1", "[1,", "tru", "-", "1.", "1e", "1e+", #""\"#, #""\u12"#,
    ])
    func whatStopsEarlyIsCutOff(_ text: String) {
        #expect(Self.reason(Array(text.utf8)) == .cutOff)
    }

    @Test(arguments: [
        "x", "nul ", "True", ".5", "+1", "1.e2", "NaN", "Infinity", "'a'", "{a:1}", "{\"a\" 1}", "{\"a\":1,}", "[1,]",
        "[,1]",
        "[1 2]", "{1:2}", "\"\t\"", "\"\n\"", #""\x""#, #""\u12g4""#, "// comment\n1", "\u{FEFF}1", "\u{A0}1",
    ])
    func whatIsNoJSONIsRefused(_ text: String) {
        #expect(Self.reason(Array(text.utf8)) == .unexpectedByte)
    }

    @Test(arguments: ["1 2", "01", "-01", "0x10", "{} {}", "null,", "[]]", "1\u{0}", "\"a\"b"])
    func nothingFollowsTheValue(_ text: String) {
        #expect(Self.reason(Array(text.utf8)) == .trailingBytes)
    }

    @Test(
        arguments: [
            [0x22, 0xFF, 0x22], [0x22, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
            [0x22, 0xE2, 0x82, 0x22],
            Array(#""\ud800""#.utf8), Array(#""\udc00""#.utf8), Array(#""\ud800\u0041""#.utf8), Array(#""\ud800\ud800""#.utf8),
            Array(#""\ud800x""#.utf8),
        ] as [[UInt8]])
    func aStringIsUnicode(_ bytes: [UInt8]) {
        #expect(Self.reason(bytes) == .notUnicode)
    }

    @Test(arguments: ["\"\u{0}\"", #""\u0000""#, #""a\u0000b""#, "{\"\\u0000\":1}", "\"\\n\u{0}\""])
    func noStringHoldsANUL(_ text: String) {
        #expect(Self.reason(Array(text.utf8)) == .containsNUL)
    }

    @Test(arguments: [#"{"a":1,"a":1}"#, #"{"a":1,"\u0061":2}"#, #"[{"b":{"c":1,"d":2,"c":3}}]"#])
    func noMemberStandsTwice(_ text: String) {
        #expect(Self.reason(Array(text.utf8)) == .duplicateMember)
    }

    @Test func depthIsBounded() {
        func nested(_ depth: Int) -> [UInt8] { Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8) }
        #expect(Self.reason(nested(16)) == nil)
        #expect(Self.reason(nested(17)) == .tooDeep)
        #expect(Self.reason(Array(repeating: UInt8(ascii: "["), count: 1 << 20)) == .tooDeep)
        #expect(Self.reason(Array(String(repeating: #"{"a":"#, count: 100_000).utf8)) == .tooDeep)
    }

    // MARK: Beside Foundation's reader

    /// Mutations of texts that are JSON: whatever one reader takes, the other takes, and for the same value. They differ where this one is
    /// stricter on purpose, and where Foundation goes by more than RFC 8259: other encodings, commas before a bracket, and numbers that no
    /// Double is.
    @Test func mutatedTextsAreReadAsFoundationReadsThem() throws {
        var generator = SeededGenerator()
        var read = 0
        for _ in 0..<60_000 {
            let bytes = Self.mutated(Array(Self.text(&generator, depth: 0).utf8), &generator)
            let known = try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
            do throws(JSONError) {
                let value = try JSONValue(bytes)
                guard Self.isForBoth(bytes, value) else { continue }
                read += 1
                let same = known.map { Self.isSame(value, $0) } ?? false
                #expect(same, "\(generator): \(String(decoding: bytes, as: UTF8.self))")
            } catch {
                let isStricter = [.duplicateMember, .tooDeep, .containsNUL].contains(error.reason)
                let isForeign = bytes.prefix(4).contains(0) || bytes.prefix(2).contains(where: { $0 >= 0xEF })
                #expect(
                    known == nil || isStricter || isForeign || Self.isTrailingComma(bytes, error.offset),
                    "\(generator): \(error): \(String(decoding: bytes, as: UTF8.self))")
            }
        }
        #expect(read > 10_000)
    }

    /// Foundation on Linux takes `[1,]` and `{"a":1,}`.
    private static func isTrailingComma(_ bytes: [UInt8], _ offset: Int) -> Bool {
        guard offset < bytes.count, bytes[offset] == UInt8(ascii: "]") || bytes[offset] == UInt8(ascii: "}") else { return false }
        return bytes[..<offset].last { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: ",")
    }

    /// Foundation takes bytes with zeros at the start for UTF-16, and refuses numbers that overflow a Double.
    private static func isForBoth(_ bytes: [UInt8], _ value: JSONValue) -> Bool {
        func isRepresentable(_ value: JSONValue) -> Bool {
            switch value {
            case .number(let digits): Double(digits).map { $0.isFinite && ($0.magnitude > 1e-300 || $0 == 0) } ?? false
            case .array(let items): items.allSatisfy(isRepresentable)
            case .object(let members): members.values.allSatisfy(isRepresentable)
            case .null, .bool, .text: true
            }
        }
        return !bytes.prefix(4).contains(0) && isRepresentable(value)
    }

    private static func isSame(_ value: JSONValue, _ known: Any) -> Bool {
        switch value {
        case .null: known is NSNull
        case .bool(let bool): (known as? NSNumber)?.boolValue == bool
        case .number(let digits):
            (known as? NSNumber).map { number in
                let mine = Double(digits) ?? .nan
                return abs(number.doubleValue - mine) <= 1e-12 * abs(mine)
            } ?? false
        case .text(let text): (known as? String).map { Array($0.unicodeScalars) == Array(text.unicodeScalars) } ?? false
        case .array(let items):
            (known as? [Any]).map { $0.count == items.count && zip(items, $0).allSatisfy { isSame($0, $1) } } ?? false
        case .object(let members):
            (known as? [String: Any]).map { known in
                known.count == members.count && members.allSatisfy { name, value in known[name].map { isSame(value, $0) } ?? false }
            } ?? false
        }
    }

    private static func text(_ generator: inout SeededGenerator, depth: Int) -> String {
        let blank = generator.element(of: ["", "", " ", "\n", "\t \r"])
        let kind = Int.random(in: 0..<(depth < 4 ? 8 : 6), using: &generator)
        let value: String
        switch kind {
        case 0: value = generator.element(of: ["null", "true", "false"])
        case 1: value = "\(Int.random(in: -1000...1000, using: &generator))"
        case 2: value = generator.element(of: ["0", "-0", "0.5", "1e3", "-1.25E-2", "12345678901", "3.141592653589793"])
        case 3, 4: value = string(&generator)
        case 5: value = generator.element(of: ["[]", "{}", "[ ]", "{ }"])
        case 6:
            value =
                "[" + (0..<Int.random(in: 0...4, using: &generator)).map { _ in text(&generator, depth: depth + 1) }.joined(separator: ",")
                + "]"
        default:
            value =
                "{"
                + (0..<Int.random(in: 0...4, using: &generator)).map { _ in
                    "\(blank)\(string(&generator))\(blank):\(text(&generator, depth: depth + 1))"
                }.joined(separator: ",") + "}"
        }
        return blank + value + blank
    }

    private static func string(_ generator: inout SeededGenerator) -> String {
        var writer = JSONWriter()
        writer.string(generator.text(upTo: 8).replacing("\u{0}", with: ""))
        let text = String(decoding: writer.bytes, as: UTF8.self)
        let escape = generator.element(of: ["", "", "", #"\u00e9"#, #"\ud83c\udfa7"#, #"\/"#, #"\u0041"#, #"\ud800"#])
        return "\"" + escape + text.dropFirst()
    }

    private static func mutated(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...2, using: &generator) where !bytes.isEmpty {
            let place = Int.random(in: bytes.indices, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes.remove(at: place)
            case 1: bytes.insert(generator.element(of: Array("{}[]\",:\\/utf0123eE+-. \n".utf8)), at: place)
            case 2: bytes[place] = UInt8.random(in: .min ... .max, using: &generator)
            default: bytes.removeLast(bytes.count - place)
            }
        }
        return bytes
    }
}
