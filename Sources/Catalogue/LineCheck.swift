import Contract
import Foundation

/// What the members of a line may hold.
enum LineCheck {
    static func text(_ name: String, _ text: String, _ length: ClosedRange<Int>, mayBreak: Bool = false) throws(LineProblem) {
        guard length.contains(text.unicodeScalars.count) else {
            throw LineProblem(reason: "\(name) must have \(length.lowerBound) to \(length.upperBound) characters")
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control && !(mayBreak && $0 == "\n") }) else {
            throw LineProblem(reason: "\(name) holds a control character")
        }
    }

    /// A text of one line for people to read: in Unicode's composed form, without the white space around it, and with something to see.
    static func name(_ name: String, _ text: String, longest: Int) throws(LineProblem) -> String {
        try Self.text(name, text, 1...longest)
        let kept = text.composed.trimmed
        if let flaw = kept.flaw() { throw LineProblem(reason: "\(name) \(flaw)") }
        // A few characters are longer in the composed form.
        try Self.text(name, kept, 1...longest)
        return kept
    }

    static func credit(_ credit: BeatContentDocument.Credit) throws(LineProblem) -> BeatContentDocument.Credit {
        var credit = credit
        credit.creditedName = try name("collaborators.creditedName", credit.creditedName ?? "", longest: 255)
        credit.role = try credit.role.map { role throws(LineProblem) in try name("collaborators.role", role, longest: 50) }
        return credit
    }

    static func metadata(_ metadata: BeatContentDocument.Metadata) throws(LineProblem) -> BeatContentDocument.Metadata {
        var metadata = metadata
        if let bpm = metadata.bpm, !(20...400).contains(bpm) { throw LineProblem(reason: "metadata.bpm must be from 20 to 400") }
        if let duration = metadata.duration, !(0...86_400).contains(duration) {
            throw LineProblem(reason: "metadata.duration must be seconds, at most a day")
        }
        if let key = metadata.key {
            guard let key = MusicalKey(key) else { throw LineProblem(reason: "metadata.key must be a musical key such as C# minor") }
            metadata.key = key.description
        }
        metadata.genre = try metadata.genre.map { text throws(LineProblem) in try name("metadata.genre", text, longest: 100) }
        metadata.mood = try metadata.mood.map { text throws(LineProblem) in try name("metadata.mood", text, longest: 100) }
        metadata.album = try metadata.album.map { text throws(LineProblem) in try name("metadata.album", text, longest: 255) }
        metadata.tags = try metadata.tags.map { tags throws(LineProblem) in try LineCheck.tags(tags) }
        if let waveform = metadata.waveform, waveform.count > 4096 || !waveform.allSatisfy((0...255).contains) {
            throw LineProblem(reason: "metadata.waveform must have at most 4096 numbers from 0 to 255")
        }
        return metadata
    }

    private static func tags(_ tags: [String]) throws(LineProblem) -> [String] {
        guard tags.count <= 50 else { throw LineProblem(reason: "metadata.tags has more than 50 entries") }
        return try tags.map { tag throws(LineProblem) in
            let tag = try name("metadata.tags", tag, longest: 100)
            // Lists are asked for tags with commas between them.
            guard !tag.unicodeScalars.contains(",") else { throw LineProblem(reason: "metadata.tags must hold no comma") }
            return tag
        }
    }

    static func artwork(_ artwork: BeatContentDocument.Artwork) throws(LineProblem) {
        for (name, url) in [("artwork.thumbnailUrl", artwork.thumbnailUrl), ("artwork.fullUrl", artwork.fullUrl)] {
            guard let url else { continue }
            try text(name, url, 1...2048)
            guard url.hasPrefix("https://"), URL(string: url)?.host()?.isEmpty == false else {
                throw LineProblem(reason: "\(name) must be an https: URL")
            }
        }
        if let colors = artwork.colors, colors.count > 16 || !colors.allSatisfy(isColor) {
            throw LineProblem(reason: "artwork.colors must have at most 16 colors such as #FF6B6B")
        }
    }

    private static func isColor(_ text: String) -> Bool {
        text.utf8.count == 7 && text.hasPrefix("#") && text.dropFirst().allSatisfy { $0.isASCII && $0.isHexDigit }
    }

    /// `2024-01-31` or a full RFC 3339 time, one that there is; Postgres reads either.
    static func date(_ name: String, _ text: String) throws(LineProblem) -> String {
        let pattern = /(\d{4})-(\d\d)-(\d\d)(?:T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-5]):[0-5]\d))?/
        guard let match = text.wholeMatch(of: pattern.asciiOnlyDigits()), let year = Int(match.1), let month = Int(match.2),
            let day = Int(match.3), year > 0, (1...12).contains(month), (1...days(in: month, of: year)).contains(day)
        else { throw LineProblem(reason: "\(name) must be a date such as 2024-01-31 or 2024-01-31T12:00:00Z") }
        return text
    }

    private static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
