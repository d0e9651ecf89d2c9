import Contract
import Foundation

@testable import Beats

/// A published beat as a list should see it: read from the rows of both stores' owners, never from the index.
struct ListedBeat {
    let id: EntityID
    let titleKey: [UInt8]
    let createdAt: Int64
    let price: Int64?
    var popularity = 0.0
    let genre: String?
    let mood: String?
    let key: String?
    let bpm: Double?
    let tags: Set<String>
    let creator: EntityID
    let isFeatured: Bool
    let words: Set<String>

    /// Cut by hand, not by the gateway's own rule.
    static func words(_ texts: [String]) -> Set<String> {
        let folded = texts.joined(separator: " ").folding(options: [.caseInsensitive, .diacriticInsensitive], locale: nil)
        return Set(folded.split { !$0.isLetter && !$0.isNumber }.map(String.init))
    }

    /// What a name is found and sorted by, by hand too, for the letters that tests use.
    static func key(_ text: String) -> String {
        [("ß", "ss"), ("ı", "i"), ("ς", "σ")].reduce(text.lowercased()) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
            .precomposedStringWithCanonicalMapping
    }

    func fulfils(_ filter: BeatFilter) -> Bool {
        if let wanted = filter.genre, genre != Self.key(wanted) { return false }
        if let wanted = filter.mood, mood != Self.key(wanted) { return false }
        if let wanted = filter.key, key != wanted.description { return false }
        if let low = filter.minimumBPM { guard let bpm, bpm >= low else { return false } }
        if let high = filter.maximumBPM { guard let bpm, bpm <= high else { return false } }
        if let low = filter.minimumPrice { guard let price, price >= low.minorUnits else { return false } }
        if let high = filter.maximumPrice { guard let price, price <= high.minorUnits else { return false } }
        if let wanted = filter.creator, creator != wanted { return false }
        return (!filter.isFeatured || isFeatured) && tags.isSuperset(of: filter.tags.map(Self.key))
            && words.isSuperset(of: filter.words)
    }

    /// Ascending order of sort value and id. Who has no price comes last, whatever the direction.
    static func precedes(_ left: ListedBeat, _ right: ListedBeat, _ sort: BeatSort, _ order: Beats.SortOrder) -> Bool {
        let isUp = order == .ascending
        func ordered<Value: Comparable>(_ one: Value, _ other: Value) -> Bool? { one == other ? nil : (one < other) == isUp }
        let decided: Bool? =
            switch sort {
            case .title: left.titleKey == right.titleKey ? nil : left.titleKey.lexicographicallyPrecedes(right.titleKey) == isUp
            case .createdAt: ordered(left.createdAt, right.createdAt)
            case .popularity: ordered(left.popularity, right.popularity)
            case .price:
                if let one = left.price, let other = right.price {
                    ordered(one, other)
                } else {
                    (left.price == nil) == (right.price == nil) ? nil : left.price != nil
                }
            case .relevance: nil
            }
        return decided ?? ((left.id < right.id) == isUp)
    }
}
