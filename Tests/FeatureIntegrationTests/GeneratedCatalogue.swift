import Contract
import Foundation
import TestSupport

/// Lines of a catalogue, made up from a seed: some with everything, some with hardly anything.
struct GeneratedCatalogue {
    struct Line: Encodable {
        struct Creator: Encodable {
            var externalId: String
            var displayName: String
        }

        struct Metadata: Encodable {
            var bpm: Double?
            var key: String?
            var genre: String?
            var mood: String?
            var tags: [String]?
        }

        struct Audio: Encodable {
            var format: String
            var file: String
        }

        struct Credit: Encodable {
            var creditedName: String
            var role: String?
        }

        var externalId: String
        var creator: Creator
        var title: String
        var description: String?
        var status: String?
        var createdAt: String
        var currency: String?
        var licenseTypes: [String: String]?
        var metadata: Metadata?
        var audio: Audio?
        var collaborators: [Credit]?

        var isPublished: Bool { status != "draft" && status != "archived" }
    }

    static let genres = ["House", "Hip Hop", "hip hop", "Straße", "R&B", "Drum & Bass", "Caf\u{E9}", "CAFE\u{301}"]
    static let moods = ["Dark", "Chill", "CHILL", "Σίσυφος", "ΣΊΣΥΦΟΣ"]
    static let keys = ["C# minor", "Db", "8A", "A minor", "F#m"]
    static let tags = ["Summer", "summer", "lo-fi", "night drive", "größer", "GRO\u{308}SSER"]
    static let words = ["purple", "rain", "brain", "Straße", "größer", "don't", "C#", "808", "Été", "音楽", "Night", "drive", "Iıİ"]

    private(set) var lines: [Line]

    init(count: Int, _ random: inout SeededGenerator, creators: Int = 12) {
        lines = (0..<count).map { Self.line($0, creators, &random) }
    }

    private static func line(_ number: Int, _ creators: Int, _ random: inout SeededGenerator) -> Line {
        func maybe<Value>(_ value: Value, _ random: inout SeededGenerator) -> Value? {
            Int.random(in: 0..<4, using: &random) > 0 ? value : nil
        }
        let creator = Int.random(in: 0..<creators, using: &random)
        let title = (0...Int.random(in: 0...3, using: &random)).map { _ in random.element(of: words) }.joined(separator: " ")
        let date = random.element(of: [
            "1969-07-20T20:17:40Z", "2024-02-29", "2024-05-0\(Int.random(in: 1...9, using: &random))T12:00:00.123Z",
            "2025-01-01T00:00:00+02:00",
        ])
        var line = Line(
            externalId: "test:beat:\(number)", creator: .init(externalId: "test:creator:\(creator)", displayName: "Creator \(creator)"),
            title: title, createdAt: date)
        line.description = maybe("About \(title)\n\"\(number)\"", &random)
        line.status = random.element(of: [nil, "published", "published", "published", "published", "draft", "archived"])
        if Int.random(in: 0..<5, using: &random) > 0 {
            line.currency = random.element(of: ["USD", "USD", "USD", "EUR", "JPY"])
            let digits = line.currency == "JPY" ? "" : random.element(of: [".00", ".99", ".5"])
            line.licenseTypes = [:]
            for license in ["basic", "premium", "exclusive"] {
                line.licenseTypes?[license] = maybe("\(Int.random(in: 1...12, using: &random))\(digits)", &random)
            }
            if line.licenseTypes?.isEmpty == true { (line.licenseTypes, line.currency) = (nil, nil) }
        }
        if let _ = maybe((), &random) {
            line.metadata = .init(
                bpm: maybe(Double(Int.random(in: 160...320, using: &random)) / 2, &random), key: maybe(random.element(of: keys), &random),
                genre: maybe(random.element(of: genres), &random), mood: maybe(random.element(of: moods), &random),
                tags: maybe((0..<Int.random(in: 0...3, using: &random)).map { _ in random.element(of: tags) }, &random))
        }
        line.collaborators = maybe([.init(creditedName: "N\(number)", role: maybe("producer", &random))], &random)
        return line
    }

    mutating func change(_ number: Int, _ body: (inout Line) -> Void) { body(&lines[number]) }

    /// Gives some lines an original of `size` bytes.
    mutating func addAudio(to numbers: [Int], size: Int, in folder: String) throws {
        for number in numbers {
            let file = "original-\(number).wav"
            let bytes = Data((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) })
            try bytes.write(to: URL(fileURLWithPath: "\(folder)/\(file)"))
            lines[number].audio = .init(format: "wav", file: file)
        }
    }

    /// Writes the lines as a catalogue into `folder` and answers its path.
    func write(_ name: String = "catalogue.ndjson", in folder: String, reversed: Bool = false) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var data = Data()
        for line in reversed ? lines.reversed() : lines {
            data += try encoder.encode(line)
            data.append(UInt8(ascii: "\n"))
        }
        let path = "\(folder)/\(name)"
        try data.write(to: URL(fileURLWithPath: path))
        return path
    }
}
