import Contract

/// One line of a catalogue: a beat with its creator, licence prices and content. `docs/catalogue-format.md` describes it.
struct CatalogueLine: Sendable, Equatable {
    /// Raw values stand in the column.
    enum Status: String, Sendable {
        case draft, published, archived
    }

    struct Creator: Sendable, Equatable {
        let externalID: ExternalID
        let displayName: String
    }

    let externalID: ExternalID
    let creator: Creator
    let title: String
    let description: String?
    let status: Status
    let currency: Currency
    let basic: Money?
    let premium: Money?
    let exclusive: Money?
    let createdAt: String?
    var content: BeatContentDocument
    /// Where the original lies, relative to the catalogue.
    let audioFile: String?
}

/// A name that a source has for something of its own: `source:rest`.
struct ExternalID: Sendable, Hashable, Comparable {
    let source: String
    let name: String

    static func < (left: ExternalID, right: ExternalID) -> Bool { (left.source, left.name) < (right.source, right.name) }

    private static let sourceLetters = Set("abcdefghijklmnopqrstuvwxyz0123456789._-".unicodeScalars)

    init?(_ text: String) {
        guard let colon = text.unicodeScalars.firstIndex(of: ":") else { return nil }
        let source = text.unicodeScalars[..<colon]
        let name = text.unicodeScalars[text.unicodeScalars.index(after: colon)...]
        guard (1...50).contains(source.count), source.allSatisfy(Self.sourceLetters.contains), (1...255).contains(name.count),
            !name.contains(where: { $0.properties.generalCategory == .control })
        else { return nil }
        self.source = String(source)
        self.name = String(name)
    }
}

/// Why a line cannot be imported, in words for whoever made the file.
struct LineProblem: Error, Sendable, Equatable {
    let reason: String
}
