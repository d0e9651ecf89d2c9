import Contract

/// One line of a catalogue: a beat with its creator, licence prices and content. `docs/catalogue-format.md` describes it.
struct CatalogueLine: Sendable, Equatable {
    struct Creator: Sendable, Equatable {
        let externalID: ExternalID
        let displayName: String
    }

    let externalID: ExternalID
    let creator: Creator
    let title: String
    let description: String?
    let isPublished: Bool
    let currency: Currency
    let basic: Money?
    let premium: Money?
    let exclusive: Money?
    let createdAt: String?
    let content: BeatContentDocument
    /// Where the original lies, relative to the catalogue.
    let audioFile: String?
}

/// A name that a source has for something of its own: `source:rest`.
struct ExternalID: Sendable, Hashable {
    let source: String
    let name: String

    init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, (1...50).contains(parts[0].count), (1...200).contains(parts[1].count),
            text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F })
        else { return nil }
        source = String(parts[0])
        name = String(parts[1])
    }
}

/// Why a line cannot be imported, in words for whoever made the file.
struct LineProblem: Error, Sendable, Equatable {
    let reason: String
}
