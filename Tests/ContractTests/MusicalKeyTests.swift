import Contract
import TestSupport
import Testing

@Suite struct MusicalKeyTests {
    private static let tonics = [
        ["C", "B#"], ["C#", "Db"], ["D"], ["D#", "Eb"], ["E", "Fb"], ["F", "E#"], ["F#", "Gb"], ["G"], ["G#", "Ab"], ["A"], ["A#", "Bb"],
        ["B", "Cb"],
    ]

    private static func spellings(of tonic: String) -> [String] {
        let letter = String(tonic.prefix(1))
        let signs =
            switch tonic.dropFirst() {
            case "#": ["#", "♯", "-sharp", " sharp", "-Sharp"]
            case "b": ["b", "♭", "-flat", " flat", " Flat"]
            default: [""]
            }
        return signs.flatMap { [letter + $0, letter.lowercased() + $0] }
    }

    @Test func all24KeysAreReadInEverySpellingAndShownInOne() throws {
        var canonical = Set<String>()
        for (semitones, names) in Self.tonics.enumerated() {
            for spelling in names.flatMap(Self.spellings) {
                for (mode, words) in [
                    (MusicalKey.Mode.major, ["", " major", "major", " maj", "-major", " Major", " dur", " MAJ", "M", "  major "]),
                    (.minor, ["m", " minor", "minor", " min", "-minor", " Minor", " moll", " m", " MIN "]),
                ] {
                    for word in words {
                        let key = try #require(MusicalKey(spelling + word), "\(spelling + word)")
                        #expect(key.tonic == semitones && key.mode == mode, "\(spelling + word)")
                        #expect(MusicalKey(key.description) == key)
                        canonical.insert(key.description)
                    }
                }
            }
        }
        #expect(canonical.count == 24)
        #expect(canonical.isSuperset(of: ["C major", "C# minor", "D# minor", "A# major", "B minor"]))
    }

    @Test(arguments: [
        ("1A", "G# minor"), ("2A", "D# minor"), ("3A", "A# minor"), ("4A", "F minor"), ("5A", "C minor"), ("6A", "G minor"),
        ("7A", "D minor"),
        ("8A", "A minor"), ("9A", "E minor"), ("10A", "B minor"), ("11A", "F# minor"), ("12A", "C# minor"), ("1B", "B major"),
        ("2B", "F# major"), ("3B", "C# major"), ("4B", "G# major"), ("5B", "D# major"), ("6B", "A# major"), ("7B", "F major"),
        ("8B", "C major"), ("9B", "G major"), ("10B", "D major"), ("11B", "A major"), ("12B", "E major"),
    ])
    func camelotCodesAreThoseOfTheWheel(code: String, key: String) {
        #expect(MusicalKey(code)?.description == key)
        #expect(MusicalKey(code.lowercased())?.description == key)
        #expect(MusicalKey(" \(code) ")?.description == key)
    }

    @Test(arguments: [
        "", " ", "H", "c##", "Cbb", "C major minor", "C majors", "Do", "13A", "0B", "-1A", "+8A", "8", "8C", "A8", "8 A", "ß", "ﬁ", "ŉ",
        "Ǆ", "é",
        "E\u{301}", "🎵", "C♮", "#", "major", "m", "C-", "C -", "C--minor", "C/Am", "C\nminor", "C\0", "𝄪", "Ａ",
    ])
    func whatNamesNoKeyIsRefused(_ text: String) {
        #expect(MusicalKey(text) == nil)
    }

    @Test func noTextEndsTheProcess() {
        var random = SeededGenerator()
        for _ in 0..<5000 { _ = MusicalKey(random.text(upTo: 6)) }
        for scalar in 0..<0x3000 { if let scalar = Unicode.Scalar(scalar) { _ = MusicalKey(String(Character(scalar))) } }
        for scalar in 0xFB00..<0xFB10 { if let scalar = Unicode.Scalar(scalar) { _ = MusicalKey(String(Character(scalar)) + " minor") } }
    }
}
