import Contract
import Foundation
import TestSupport
import Testing

/// What people write is found by what others write for the same, and a name is something that can be seen.
@Suite struct WrittenTextTests {
    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test(arguments: [
        ("Café", "Cafe\u{301}"), ("Café", "CAFÉ"), ("Cafe\u{301}", "CAFE\u{301}"), ("Straße", "STRASSE"), ("Straße", "STRAẞE"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"), ("ﬁne", "FINE"), ("Å", "\u{212B}"), ("é\u{323}", "e\u{323}\u{301}"), ("한국", "\u{1112}\u{1161}\u{11ab}국"),
    ])
    func spellingsOfOneNameHaveOneKey(one: String, other: String) {
        #expect(Self.bytes(one.searchKey) == Self.bytes(other.searchKey))
    }

    @Test(arguments: [("Café", "Cafe"), ("R&B", "RnB"), ("日本", "日木"), ("lo-fi", "lofi")])
    func otherNamesHaveOtherKeys(one: String, other: String) { #expect(one.searchKey != other.searchKey) }

    @Test func theKeyOfAKeyAndOfCapitalsIsTheKeyItself() {
        var random = SeededGenerator()
        // Where letters with cases are, and anywhere.
        let assigned =
            (0..<0x600).compactMap { Unicode.Scalar($0 as UInt32) } + (0x1E00..<0x2200).compactMap { Unicode.Scalar($0 as UInt32) }
        for _ in 0..<4000 {
            let scalars = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                Bool.random(using: &random)
                    ? random.element(of: assigned) : Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &random)) ?? "a"
            }
            let text = String(String.UnicodeScalarView(scalars))
            let key = text.searchKey
            let said: Comment = "\(random) \(scalars.map { String($0.value, radix: 16) })"
            #expect(Self.bytes(key.searchKey) == Self.bytes(key), said)
            #expect(Self.bytes(text.decomposedStringWithCanonicalMapping.searchKey) == Self.bytes(key), said)
            // As long as the columns that hold keys allow.
            #expect(key.unicodeScalars.count <= 3 * text.composed.unicodeScalars.count, said)
        }
    }

    @Test func whiteSpaceAroundATextIsCutScalarByScalar() {
        #expect("\u{3000} a b\u{2003}\r\n".trimmed == "a b" && "\t \u{85}".trimmed == "" && "".trimmed == "")
        #expect(Self.bytes(" \u{301}x ".trimmed) == Self.bytes("\u{301}x"))
    }

    @Test(arguments: [
        "", " ", "\u{200B}", "\u{3164}", "\u{115F}\u{1160}", "\u{FE0F}", "\u{200D}\u{200C}", "\u{2800}", "\u{E0020}", "\u{AD}",
    ])
    func whatCannotBeSeenIsBlank(text: String) {
        #expect(text.flaw() == "must not be blank" && text.flaw(lines: true) == "must not be blank")
    }

    @Test(arguments: ["a\u{202E}b", "\u{2066}a\u{2069}", "a\u{200F}", "\u{61C}a"])
    func whatTurnsTheDirectionOfWritingStandsInNoLineThatOthersStandBeside(text: String) {
        #expect(text.flaw() == "must hold no control of the direction of writing" && text.flaw(lines: true) == nil)
    }

    @Test(arguments: [0xFFFF, 0xFDD0, 0x1FFFE] as [UInt32])
    func whatStandsForNoCharacterIsRefused(code: UInt32) throws {
        let text = "a" + String(try #require(Unicode.Scalar(code)))
        #expect(text.flaw() == "must hold no code that stands for no character" && text.flaw(lines: true) != nil)
    }

    @Test(arguments: [
        "a", "👩🏽‍🎤", "❤️", "می‌خواهم", "क्‍ष", "שלום", "مرحبا", "音", "𝄞", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "-", "\u{E000}",
    ])
    func namesOfAnyWritingAndEmojiAreNames(text: String) { #expect(text.flaw() == nil) }
}
