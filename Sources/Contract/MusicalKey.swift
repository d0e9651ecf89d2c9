/// A musical key in its one canonical spelling: `C# minor`, `A major`. Sharps, as most tools write them.
public struct MusicalKey: Hashable, Sendable, CustomStringConvertible {
    /// Which third stands above the tonic.
    public enum Mode: String, Sendable {
        case major, minor
    }

    /// Semitones above C.
    public let tonic: Int
    public let mode: Mode

    private static let names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    /// From A to G.
    private static let naturals = [9, 11, 0, 2, 4, 5, 7]

    /// Reads a key as people write it: `C#`, `Db`, `C♯ minor`, `c# min`, `Am`, `A-flat major`, or a Camelot code such as `8A`.
    /// A bare note means major.
    public init?(_ text: some StringProtocol) {
        var rest = Substring(text.trimmingPrefix { $0 == " " })
        while rest.last == " " { rest.removeLast() }
        if let camelot = Self.camelot(rest) {
            self = camelot
            return
        }
        guard let letter = rest.popFirst()?.asciiValue, var tonic = Self.natural(letter) else { return nil }
        for (spelling, shift) in [("#", 1), ("♯", 1), ("-sharp", 1), (" sharp", 1), ("b", -1), ("♭", -1), ("-flat", -1), (" flat", -1)]
        where rest.lowercased().hasPrefix(spelling) {
            tonic += shift
            rest = rest.dropFirst(spelling.count)
            break
        }
        let word = rest.first == "-" ? rest.dropFirst() : rest.trimmingPrefix { $0 == " " }
        switch word {
        case "" where rest.isEmpty, "M": mode = .major
        case "m": mode = .minor
        default:
            switch word.lowercased() {
            case "major", "maj", "dur": mode = .major
            case "minor", "min", "moll": mode = .minor
            default: return nil
            }
        }
        self.tonic = (tonic + 12) % 12
    }

    private init(tonic: Int, mode: Mode) { (self.tonic, self.mode) = (tonic, mode) }

    private static func natural(_ letter: UInt8) -> Int? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "G"): naturals[Int(letter - UInt8(ascii: "A"))]
        case UInt8(ascii: "a")...UInt8(ascii: "g"): naturals[Int(letter - UInt8(ascii: "a"))]
        default: nil
        }
    }

    /// The wheel of fifths that disc jockeys use: `8B` is C major, `8A` its relative minor.
    private static func camelot(_ text: Substring) -> MusicalKey? {
        guard let letter = text.last, text.first != "+", let number = Int(text.dropLast()), (1...12).contains(number) else { return nil }
        switch letter {
        case "B", "b": return MusicalKey(tonic: ((number - 8) * 7 + 84) % 12, mode: .major)
        case "A", "a": return MusicalKey(tonic: ((number - 8) * 7 + 84 + 9) % 12, mode: .minor)
        default: return nil
        }
    }

    public var description: String { "\(Self.names[tonic]) \(mode.rawValue)" }
}
