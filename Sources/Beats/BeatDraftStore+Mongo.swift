import Contract
import DataPlane
import MongoClient

/// Reads whole contents, originals included, for edits to start from; and the history of a beat.
struct BeatDraftContentStore: Sendable {
    private struct Found: Sendable {
        let version: Int64
        let content: BeatContentDocument
    }

    private let contents: BatchLoader<EntityID, Found>

    /// `timeout` is what one look-up may take.
    init(mongo: MongoAccess, timeout: Duration, observer: any Observer) {
        contents = BatchLoader(kind: "beat_draft", observer: observer) { ids throws(Problem) in
            let filter: BSONDocument = ["_id": ["$in": .array(ids.map { .uuid($0.rawValue) })], "deleted": ["$ne": true]]
            return try await mongo.result(within: timeout) { session in
                var contents: [EntityID: Found] = Dictionary(minimumCapacity: ids.count)
                try session.find("beats", filter) { document in
                    let found = Found(version: try document.int64("v"), content: Self.read(document))
                    contents[EntityID(rawValue: try document.uuid("_id"))] = found
                }
                return contents
            }
        }
    }

    /// The content that MongoDB has. To be asked after Postgres has said that nothing is staged: then nothing newer is on its way. Throws
    /// `storeUnavailable`, also where MongoDB has lost the document, or has one that is older than `version`, which last brought content:
    /// an edit of nothing, or of the past, would make the loss good for ever; `overloaded`.
    func content(_ id: EntityID, notOlderThan version: Int64) async throws(Problem) -> BeatContentDocument {
        guard let found = try await contents.value(for: id), found.version >= version else { throw .unavailable(.mongo) }
        return found.content
    }

    static func read(_ document: borrowing BSONView) -> BeatContentDocument {
        var content = BeatContentDocument()
        var metadata = BeatContentDocument.Metadata()
        metadata.bpm = document.doubleOrNil("metadata.bpm")
        metadata.key = document.stringOrNil("metadata.key")
        metadata.genre = document.stringOrNil("metadata.genre")
        metadata.mood = document.stringOrNil("metadata.mood")
        metadata.tags = document.withField("metadata.tags") { texts($0) }
        metadata.duration = document.doubleOrNil("metadata.duration")
        metadata.album = document.stringOrNil("metadata.album")
        metadata.waveform = document.withField("metadata.waveform") { integers($0) }
        if metadata != .init() { content.metadata = metadata }

        var audio = BeatContentDocument.Audio(format: document.stringOrNil("audio.format"))
        audio.previewUrl = document.stringOrNil("audio.previewUrl")
        audio.quality = document.stringOrNil("audio.quality")
        audio.fileSize = document.int64OrNil("audio.fileSize")
        audio.originalId = document.uuidOrNil("audio.originalId").map { EntityID(rawValue: $0).description }
        audio.stems = document.withField("audio.stems") { stems($0) }
        if audio != .init(format: nil) { content.audio = audio }

        var artwork = BeatContentDocument.Artwork()
        artwork.thumbnailUrl = document.stringOrNil("artwork.thumbnailUrl")
        artwork.fullUrl = document.stringOrNil("artwork.fullUrl")
        artwork.colors = document.withField("artwork.colors") { texts($0) }
        if artwork != .init() { content.artwork = artwork }

        content.collaborators = document.withField("collaborators") { credits($0) }
        return content
    }

    private static func texts(_ field: borrowing BSONField) -> [String] {
        var texts: [String] = []
        _ = field.withDocument { items in items.forEach { item in if let text = item.string { texts.append(text) } } }
        return texts
    }

    private static func stems(_ field: borrowing BSONField) -> [String: String] {
        var stems: [String: String] = [:]
        _ = field.withDocument { items in
            items.forEach { item in if let id = item.uuid { stems[item.key] = EntityID(rawValue: id).description } }
        }
        return stems
    }

    private static func integers(_ field: borrowing BSONField) -> [Int] {
        var integers: [Int] = []
        _ = field.withDocument { items in items.forEach { item in if let value = item.int64OrNil { integers.append(Int(value)) } } }
        return integers
    }

    private static func credits(_ field: borrowing BSONField) -> [BeatContentDocument.Credit] {
        var credits: [BeatContentDocument.Credit] = []
        _ = field.withDocument { items in
            items.forEach { item in
                _ = item.withDocument { credit in
                    var read = BeatContentDocument.Credit(
                        role: credit.stringOrNil("role"), creditedName: credit.stringOrNil("creditedName") ?? "")
                    read.userId = credit.uuidOrNil("userId").map { EntityID(rawValue: $0).description }
                    credits.append(read)
                }
            }
        }
        return credits
    }
}
