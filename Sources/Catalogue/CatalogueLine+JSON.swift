import Contract
import Foundation

extension CatalogueLine {
    static let longestLine = 256 << 10

    /// Reads and checks one line. Throws `LineProblem` with the member's path and what is wrong with it.
    init(json: [UInt8], decoder: JSONDecoder) throws(LineProblem) {
        do {
            self = try decoder.decode(Wire.self, from: Data(json)).line()
        } catch let problem as LineProblem {
            throw problem
        } catch let error as DecodingError {
            throw LineProblem(reason: Self.describe(error))
        } catch {
            throw LineProblem(reason: "cannot be read")
        }
    }

    private static func describe(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
            return path.isEmpty ? "the line" : path
        }
        switch error {
        case .keyNotFound(let key, let context):
            return "\((context.codingPath.map(\.stringValue) + [key.stringValue]).joined(separator: ".")) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context): return "\(path(context)) has the wrong type"
        case .dataCorrupted(let context): return context.codingPath.isEmpty ? "is not JSON" : "\(path(context)) \(context.debugDescription)"
        @unknown default: return "cannot be read"
        }
    }
}

/// The line as it is written. Members that are not known are refused, so that a misspelt one is not lost in silence.
private struct Wire: Decodable {
    struct Creator: Decodable {
        let externalId: String
        let displayName: String

        init(from decoder: any Decoder) throws {
            let members = try Members(decoder, ["externalId", "displayName"])
            externalId = try members.required("externalId")
            displayName = try members.required("displayName")
        }
    }

    let externalId: String
    let creator: Creator
    let title: String
    let description: String?
    let status: String?
    let currency: String?
    let licenseTypes: [String: String]?
    let createdAt: String?
    let metadata: BeatContentDocument.Metadata?
    let format: String?
    let file: String?
    let artwork: BeatContentDocument.Artwork?
    let collaborators: [BeatContentDocument.Credit]?

    init(from decoder: any Decoder) throws {
        let members = try Members(
            decoder,
            [
                "externalId", "creator", "title", "description", "status", "currency", "licenseTypes", "createdAt", "metadata", "audio",
                "artwork", "collaborators",
            ])
        externalId = try members.required("externalId")
        creator = try members.required("creator")
        title = try members.required("title")
        description = try members.optional("description")
        status = try members.optional("status")
        currency = try members.optional("currency")
        licenseTypes = try members.optional("licenseTypes")
        createdAt = try members.optional("createdAt")
        if let part = try members.nested("metadata", ["bpm", "key", "genre", "mood", "tags", "duration", "album", "waveform"]) {
            var metadata = BeatContentDocument.Metadata()
            metadata.bpm = try part.optional("bpm")
            metadata.key = try part.optional("key")
            metadata.genre = try part.optional("genre")
            metadata.mood = try part.optional("mood")
            metadata.tags = try part.optional("tags")
            metadata.duration = try part.optional("duration")
            metadata.album = try part.optional("album")
            metadata.waveform = try part.optional("waveform")
            self.metadata = metadata
        } else {
            metadata = nil
        }
        let audio = try members.nested("audio", ["format", "file"])
        format = try audio?.required("format")
        file = try audio?.required("file")
        if let part = try members.nested("artwork", ["thumbnailUrl", "fullUrl", "colors"]) {
            var artwork = BeatContentDocument.Artwork()
            artwork.thumbnailUrl = try part.optional("thumbnailUrl")
            artwork.fullUrl = try part.optional("fullUrl")
            artwork.colors = try part.optional("colors")
            self.artwork = artwork
        } else {
            artwork = nil
        }
        collaborators = try members.nestedList("collaborators", ["role", "creditedName"]).map { credits in
            try credits.map { BeatContentDocument.Credit(role: try $0.optional("role"), creditedName: try $0.required("creditedName")) }
        }
    }

    func line() throws(LineProblem) -> CatalogueLine {
        guard let externalID = ExternalID(externalId) else {
            throw LineProblem(reason: "externalId must be source:id, the source of a-z 0-9 . _ -, at most 50 and 255 characters")
        }
        guard let creatorID = ExternalID(creator.externalId) else {
            throw LineProblem(reason: "creator.externalId must be source:id, the source of a-z 0-9 . _ -, at most 50 and 255 characters")
        }
        let title = try LineCheck.name("title", title, longest: 255)
        let displayName = try LineCheck.name("creator.displayName", creator.displayName, longest: 100)
        if let description { try LineCheck.text("description", description, 0...5000, mayBreak: true) }
        guard let status = CatalogueLine.Status(rawValue: status ?? "published") else {
            throw LineProblem(reason: "status must be draft, published or archived")
        }
        guard let money = Currency(code: currency ?? "USD") else { throw LineProblem(reason: "currency is not one that is sold in") }
        if let licenseTypes {
            guard currency != nil else { throw LineProblem(reason: "currency is missing; licenseTypes needs it") }
            guard !licenseTypes.isEmpty else {
                throw LineProblem(reason: "licenseTypes must have at least one of basic, premium and exclusive")
            }
            if let unknown = licenseTypes.keys.sorted().first(where: { !["basic", "premium", "exclusive"].contains($0) }) {
                throw LineProblem(reason: "licenseTypes.\(unknown.prefix(40)) is not a licence; there are basic, premium and exclusive")
            }
        }
        var document = BeatContentDocument(metadata: try metadata.map { metadata throws(LineProblem) in try LineCheck.metadata(metadata) })
        if let format, let file {
            try LineCheck.text("audio.format", format, 1...20)
            try LineCheck.text("audio.file", file, 1...1024)
            if file.hasPrefix("/") || file.split(separator: "/").contains("..") {
                throw LineProblem(reason: "audio.file must lie below the catalogue's folder")
            }
            document.audio = BeatContentDocument.Audio(format: format)
        }
        if let artwork {
            try LineCheck.artwork(artwork)
            document.artwork = artwork
        }
        if let collaborators {
            guard collaborators.count <= 50 else { throw LineProblem(reason: "collaborators has more than 50 entries") }
            document.collaborators = try collaborators.map { credit throws(LineProblem) in try LineCheck.credit(credit) }
        }
        return CatalogueLine(
            externalID: externalID, creator: .init(externalID: creatorID, displayName: displayName), title: title,
            description: description, status: status, currency: money, basic: try price("basic", money),
            premium: try price("premium", money), exclusive: try price("exclusive", money),
            createdAt: try createdAt.map { text throws(LineProblem) in try LineCheck.date("createdAt", text) }, content: document,
            audioFile: file)
    }

    private func price(_ license: String, _ currency: Currency) throws(LineProblem) -> Money? {
        guard let text = licenseTypes?[license] else { return nil }
        guard let money = Money(decimal: text, currency: currency), money.minorUnits > 0 else {
            throw LineProblem(reason: "licenseTypes.\(license) must be an amount such as \"9.99\", more than nothing")
        }
        return money
    }
}

/// The members of one JSON object, each known by name.
private struct Members {
    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    private let container: KeyedDecodingContainer<Name>

    init(_ decoder: any Decoder, _ known: Set<String>) throws {
        self.init(try decoder.container(keyedBy: Name.self))
        try check(known)
    }

    private init(_ container: KeyedDecodingContainer<Name>) { self.container = container }

    private func check(_ known: Set<String>) throws {
        for key in container.allKeys where !known.contains(key.stringValue) {
            throw LineProblem(
                reason:
                    "\((container.codingPath.map(\.stringValue) + [String(key.stringValue.prefix(40))]).joined(separator: ".")) is not known"
            )
        }
    }

    func required<Value: Decodable>(_ name: String) throws -> Value {
        try container.decode(Value.self, forKey: Name(stringValue: name))
    }

    func optional<Value: Decodable>(_ name: String) throws -> Value? {
        try container.decodeIfPresent(Value.self, forKey: Name(stringValue: name))
    }

    func nested(_ name: String, _ known: Set<String>) throws -> Members? {
        guard container.contains(Name(stringValue: name)), try !container.decodeNil(forKey: Name(stringValue: name)) else { return nil }
        let members = Members(try container.nestedContainer(keyedBy: Name.self, forKey: Name(stringValue: name)))
        try members.check(known)
        return members
    }

    func nestedList(_ name: String, _ known: Set<String>) throws -> [Members]? {
        guard container.contains(Name(stringValue: name)), try !container.decodeNil(forKey: Name(stringValue: name)) else { return nil }
        var list = try container.nestedUnkeyedContainer(forKey: Name(stringValue: name))
        var members: [Members] = []
        while !list.isAtEnd {
            let item = Members(try list.nestedContainer(keyedBy: Name.self))
            try item.check(known)
            members.append(item)
        }
        return members
    }
}
