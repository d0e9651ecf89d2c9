import Contract
import HTTPAPI

/// Reads an edit from a body. What a creator must not set (owner, status, counters, version) is no member that is known here, and so
/// is refused, not ignored.
extension BeatEdit {
    /// How members that are absent are meant.
    enum Mode {
        /// The body is the whole beat: what is absent goes.
        case whole
        /// The body is what changes: what is absent stays, what is `null` goes.
        case partial
    }

    static let members = [
        "title", "description", "currency", "licenseTypes", "metadata", "artwork", "collaborators", "changes",
    ]
    private static let metadataMembers = ["bpm", "key", "genre", "mood", "tags", "duration", "album", "waveform"]
    private static let artworkMembers = ["thumbnailUrl", "fullUrl", "colors"]

    static let mostTags = 20
    static let longestTag = 50
    /// Points of a waveform; as many as a wide screen has.
    static let mostPoints = 4096

    /// Throws `invalid` with every complaint at once.
    init(_ input: BodyInput, _ mode: Mode) throws(Problem) {
        var input = input
        let reader = Reader(mode: mode)
        title = reader.change("title", &input) { $0.visibleText("title", longest: 255) }
        if title == .clear { input.complain("title", "is missing") }
        description = reader.change("description", &input) { $0.text("description", 0...5000, lines: true) }
        currency = reader.change("currency", &input) { input in
            guard let code = input.text("currency", 3...3) else { return nil }
            if let currency = Currency(code: code) { return currency }
            input.complain("currency", "is not sold in; an ISO 4217 code such as USD, EUR or JPY is")
            return nil
        }
        reader.part("licenseTypes", LicenseType.allCases.map(\.rawValue), &input) { part in
            for license in LicenseType.allCases {
                prices[license] = reader.change(license.rawValue, &part) { $0.decimal(license.rawValue) }
            }
        }
        reader.part("metadata", Self.metadataMembers, &input) { Self.read(&metadata, &$0, reader) }
        reader.part("artwork", Self.artworkMembers, &input) { Self.read(&artwork, &$0, reader) }
        collaborators = reader.change("collaborators", &input, Self.credits)
        changes = input.visibleText("changes", longest: 1000)
        try input.check()
    }

    private static func read(_ metadata: inout Metadata, _ part: inout BodyInput, _ reader: Reader) {
        metadata.bpm = reader.change("bpm", &part) { $0.number("bpm", in: 20...400) }
        metadata.key = reader.change("key", &part) { part in
            guard let text = part.text("key", 1...20) else { return nil }
            if let key = MusicalKey(text) { return key }
            part.complain("key", "must be a musical key: a note with # or b, then major or minor, or a Camelot code such as 8A")
            return nil
        }
        metadata.genre = reader.change("genre", &part) { $0.visibleText("genre", longest: 100) }
        metadata.mood = reader.change("mood", &part) { $0.visibleText("mood", longest: 100) }
        metadata.tags = reader.change("tags", &part) { part in
            guard let tags = part.visibleTexts("tags", count: 0...mostTags, longest: longestTag) else { return nil }
            if let index = tags.firstIndex(where: { $0.unicodeScalars.contains(",") }) {
                part.complain("tags[\(index)]", "must hold no comma: lists are asked for tags with commas between them")
                return nil
            }
            if Set(tags.map(\.searchKey)).count == tags.count { return tags }
            part.complain("tags", "must not name a tag twice")
            return nil
        }
        metadata.duration = reader.change("duration", &part) { $0.number("duration", in: 0...86_400) }
        metadata.album = reader.change("album", &part) { $0.visibleText("album", longest: 255) }
        metadata.waveform = reader.change("waveform", &part) { $0.integers("waveform", count: 1...mostPoints, in: 0...255) }
    }

    private static func read(_ artwork: inout Artwork, _ part: inout BodyInput, _ reader: Reader) {
        artwork.thumbnailURL = reader.change("thumbnailUrl", &part) { $0.webAddress("thumbnailUrl") }
        artwork.fullURL = reader.change("fullUrl", &part) { $0.webAddress("fullUrl") }
        artwork.colors = reader.change("colors", &part) { part in
            guard let colors = part.texts("colors", count: 1...16, characters: 7...7) else { return nil }
            if colors.allSatisfy(isColor) { return colors }
            part.complain("colors", "must be written as #RRGGBB")
            return nil
        }
    }

    private static func isColor(_ text: String) -> Bool { text.first == "#" && text.dropFirst().utf8.allSatisfy(isHexadecimal) }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
        default: false
        }
    }

    private static func credits(_ input: inout BodyInput) -> [BeatContentDocument.Credit]? {
        guard let parts = input.objects("collaborators", count: 0...50, allowed: ["userId", "role", "creditedName"]) else { return nil }
        return parts.map { part in
            var part = part
            var credit = BeatContentDocument.Credit(
                role: part.visibleText("role", longest: 50),
                creditedName: part.requiredVisibleText("creditedName", longest: 255))
            if let text = part.text("userId", 1...36) {
                credit.userId = EntityID(text)?.description
                if credit.userId == nil { part.complain("userId", "must be a UUID") }
            }
            input.absorb(part)
            return credit
        }
    }

    /// Reads members as the mode has it.
    private struct Reader {
        let mode: Mode

        func change<Value: Sendable & Equatable>(
            _ name: String, _ input: inout BodyInput, _ read: (inout BodyInput) -> Value?
        ) -> Change<Value> {
            mode == .whole && !input.has(name) ? .clear : input.change(name, read)
        }

        /// The members of a member; those of one that is absent or `null` are absent or `null` themselves.
        func part(_ name: String, _ members: [String], _ input: inout BodyInput, _ read: (inout BodyInput) -> Void) {
            if mode == .partial, !input.has(name) { return }
            let isGone = input.isNull(name) || !input.has(name)
            guard var part = isGone ? BodyInput.cleared(members, of: name) : input.object(name, allowed: members) else { return }
            read(&part)
            input.absorb(part)
        }
    }
}
