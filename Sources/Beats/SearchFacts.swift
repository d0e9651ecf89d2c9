import Contract
import MongoClient

/// What the search index takes from a beat's content.
struct SearchFacts: Sendable, Equatable {
    static let projection: BSONDocument = [
        "metadata.bpm": 1, "metadata.key": 1, "metadata.genre": 1, "metadata.mood": 1, "metadata.tags": 1,
    ]

    var bpm: Double?
    var key: String?
    var genre: String?
    var mood: String?
    var tags: [String] = []

    init() {}

    init(_ content: BeatContentDocument) {
        bpm = content.metadata?.bpm
        key = content.metadata?.key
        genre = content.metadata?.genre
        mood = content.metadata?.mood
        tags = content.metadata?.tags ?? []
    }

    init(_ document: borrowing BSONView) {
        bpm = document.doubleOrNil("metadata.bpm")
        key = document.stringOrNil("metadata.key")
        genre = document.stringOrNil("metadata.genre")
        mood = document.stringOrNil("metadata.mood")
        var tags: [String] = []
        _ = document.withField("metadata.tags") { field in
            _ = field.withDocument { items in items.forEach { item in item.withUTF8 { tags.append(String(decoding: $0, as: UTF8.self)) } } }
        }
        self.tags = tags
    }
}
