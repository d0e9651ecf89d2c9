import Contract
import TestSupport
import Testing

@Suite struct CursorTests {
    private static func random(_ random: inout SeededGenerator) -> Cursor {
        let value: Cursor.Value =
            switch Int.random(in: 0..<4, using: &random) {
            case 0: .absent
            case 1: .integer(Int64.random(in: .min ... .max, using: &random))
            case 2: .decimal(Double.random(in: -1e9...1e9, using: &random))
            default: .text(random.text(upTo: 40))
            }
        return Cursor(
            order: UInt64.random(in: .min ... .max, using: &random), value: value,
            id: EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random)))
    }

    @Test func everyCursorReadsBackFromItsText() {
        var random = SeededGenerator()
        for _ in 0..<2000 {
            let cursor = Self.random(&random)
            #expect(Cursor(cursor.description) == cursor, "\(random)")
        }
        for edge in [Cursor.Value.integer(.min), .integer(.max), .decimal(-0.0), .decimal(.leastNonzeroMagnitude), .text("")] {
            let cursor = Cursor(order: .max, value: edge, id: EntityID(rawValue: .max))
            #expect(Cursor(cursor.description)?.description == cursor.description)
        }
    }

    @Test func aCursorThatWasTamperedWithIsRefusedOrHasNoSecondSpelling() {
        var random = SeededGenerator()
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \u{e9}")
        for _ in 0..<12 {
            let text = Array(Self.random(&random).description)
            for position in text.indices {
                for letter in letters where letter != text[position] {
                    var mutated = text
                    mutated[position] = letter
                    if let cursor = Cursor(String(mutated)) { #expect(cursor.description == String(mutated), "\(random)") }
                }
                if let cursor = Cursor(String(text[..<position])) { #expect(cursor.description == String(text[..<position]), "\(random)") }
            }
        }
    }

    @Test func whatNoPageGaveIsRefused() {
        let id = EntityID(rawValue: 7)
        let tooLong = Cursor(order: 1, value: .text(String(repeating: "x", count: 1025)), id: id).description
        let notFinite = Cursor(order: 1, value: .decimal(.nan), id: id).description
        let infinite = Cursor(order: 1, value: .decimal(.infinity), id: id).description
        let padded = Cursor(order: 1, value: .absent, id: id).description + "="
        for text in ["", "A", "AQ", String(repeating: "A", count: 5000), tooLong, notFinite, infinite, padded] {
            #expect(Cursor(text) == nil)
        }
        #expect(Cursor(Base64URL.encode([2] + Array(repeating: 0, count: 25))) == nil)
        #expect(Cursor(Base64URL.encode([1] + Array(repeating: 0, count: 24) + [4])) == nil)
        #expect(Cursor(Base64URL.encode([1] + Array(repeating: 0, count: 24) + [3, 0xFF])) == nil)
    }

    @Test func pagesAreNumberedFrom1AndCursorsSkipNothing() {
        #expect(PageRequest(limit: 20, position: .page(1)).offset == 0)
        #expect(PageRequest(limit: 20, position: .page(3)).offset == 40)
        #expect(PageRequest(limit: 20, position: .after(Cursor(order: 0, value: .absent, id: EntityID(rawValue: 0)))).offset == 0)
    }
}

@Suite struct Base64URLTests {
    @Test func bytesReadBackAndHaveOneSpelling() {
        var random = SeededGenerator()
        for length in 0..<70 {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let text = Base64URL.encode(bytes)
            #expect(Base64URL.decode(text) == bytes, "\(random)")
            #expect(!text.contains { "+/=".contains($0) })
        }
        // RFC 4648 §10, without padding.
        #expect(["", "f", "fo", "foo", "foob"].map { Base64URL.encode(Array($0.utf8)) } == ["", "Zg", "Zm8", "Zm9v", "Zm9vYg"])
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8")
    }

    @Test(arguments: ["A", "AAAAA", "Zh", "Zm9", "Zg==", "Zg=", "Z g", "Z+", "Z/", "Zé", "Zg\n"])
    func aSecondSpellingIsRefused(_ text: String) {
        #expect(Base64URL.decode(text) == nil)
    }
}
