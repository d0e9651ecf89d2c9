import Foundation

// What people write: one spelling of it, what it is found by, and what no name may hold. Properties of characters are those of the Unicode
// Standard, https://www.unicode.org/reports/tr44/.

extension String {
    /// In Unicode's normalization form C (https://www.unicode.org/reports/tr15/): a letter with its accent has one spelling.
    public var composed: String {
        // Nothing below U+0300 composes with anything.
        unicodeScalars.allSatisfy { $0.value < 0x300 } ? self : precomposedStringWithCanonicalMapping
    }

    /// What a text is found by, whatever capitals and spelling it is written in: `Straße` and `STRASSE`, `Σίσυφος` and `ΣΊΣΥΦΟΣ` have one
    /// key, and the key of a key is itself. One scalar becomes at most three.
    public var searchKey: String {
        if utf8.allSatisfy({ $0 < 0x80 }) { return lowercased() }
        // Capitals have one form where small letters have several (σ and ς), and some small letters have only capitals of more letters (ß).
        return composed.lowercased().uppercased().lowercased().composed
    }

    /// Without the white space around it.
    public var trimmed: String {
        let rest = unicodeScalars.drop { $0.properties.isWhitespace }
        guard let last = rest.lastIndex(where: { !$0.properties.isWhitespace }) else { return "" }
        return String(rest[...last])
    }

    /// What is wrong with a text that people are to read; nil where nothing is. It must hold something that can be seen. In one line it must
    /// not turn the direction of writing, which would change what stands beside it; in several `lines` there is nothing beside it.
    public func flaw(lines: Bool = false) -> String? {
        var isVisible = false
        for scalar in unicodeScalars {
            if scalar.properties.isNoncharacterCodePoint { return "must hold no code that stands for no character" }
            if !lines, scalar.properties.isBidiControl { return "must hold no control of the direction of writing" }
            isVisible = isVisible || scalar.isVisible
        }
        return isVisible ? nil : "must not be blank"
    }
}

extension Unicode.Scalar {
    /// Whether it leaves a mark where it stands. Joiners and variation selectors leave none, and are part of what stands beside them.
    fileprivate var isVisible: Bool {
        if isASCII { return value > 0x20 && value < 0x7F }
        switch value {
        // A Braille cell without dots, and the anchors of annotations.
        case 0x2800, 0xFFF9...0xFFFB: return false
        default: return !properties.isWhitespace && !properties.isDefaultIgnorableCodePoint && properties.generalCategory != .control
        }
    }
}
