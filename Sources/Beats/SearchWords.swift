import Foundation

/// What a text is found by: runs of letters and digits, without case and accents. The index and the query are cut by this one rule, so
/// that a word is found where it stands and nowhere else.
enum SearchWords {
    /// Words of one query; more make it no more precise.
    static let mostInQuery = 12
    /// Scalars of one word: folding can make three of one.
    static let longest = 255
    /// Words of one beat.
    static let mostInIndex = 64

    static func words(_ text: String) -> [String] {
        text.folding(options: [.caseInsensitive, .diacriticInsensitive], locale: nil)
            .split { !($0.isLetter || $0.isNumber) }.map { String(String.UnicodeScalarView($0.unicodeScalars.prefix(longest))) }
    }

    /// The words of a text with a blank between them: what the text index scores, which cuts at blanks and nowhere else then.
    static func text(_ text: String) -> String { words(text).joined(separator: " ") }

    /// The distinct words of several texts, in their order.
    static func words(of texts: [String]) -> [String] {
        // Not lazily: what is asked twice of a lazy sequence would have been seen already.
        var seen: Set<String> = []
        return Array(texts.flatMap(words).filter { seen.insert($0).inserted }.prefix(mostInIndex))
    }
}
