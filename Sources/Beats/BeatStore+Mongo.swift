import Contract
import DataPlane
import JSON
import MongoClient

/// Reads contents of beats, walking BSON straight into the bytes of the answer.
struct BeatContentStore: Sendable {
    let mongo: MongoAccess
    /// What one look-up may take.
    let timeout: Duration

    /// The contents that MongoDB has for `ids`. Throws `storeUnavailable` or `overloaded`.
    func contents(_ ids: [EntityID], _ detail: BeatDetail) async throws(Problem) -> [EntityID: BeatContent] {
        let filter: BSONDocument = ["_id": ["$in": .array(ids.map { .uuid($0.rawValue) })]]
        let projection = detail == .full ? Self.fullProjection : Self.summaryProjection
        return try await mongo.result(within: timeout) { session in
            var contents: [EntityID: BeatContent] = Dictionary(minimumCapacity: ids.count)
            try session.find("beats", filter, projection: projection) { document in
                guard let id = document.uuidOrNil("_id"), document.boolOrNil("deleted") != true else { return }
                contents[EntityID(rawValue: id)] = BeatContent(
                    version: try document.int64("v"), members: BeatContentWriter.members(document))
            }
            try session.find("beat_analytics", filter, projection: Self.statsProjection) { document in
                guard let id = document.uuidOrNil("_id") else { return }
                contents[EntityID(rawValue: id)]?.stats = BeatStats(document)
            }
            return contents
        }
    }

    // Whatever is private stays in the database: the projections name what is public, and the writer names it again.
    private static let summaryProjection: BSONDocument = [
        "v": 1, "deleted": 1, "metadata.bpm": 1, "metadata.key": 1, "metadata.genre": 1, "metadata.mood": 1, "metadata.tags": 1,
        "metadata.duration": 1, "metadata.album": 1, "audio.previewUrl": 1, "audio.format": 1, "artwork": 1,
    ]
    private static let fullProjection: BSONDocument = {
        var projection = summaryProjection
        projection.append("metadata.waveform", 1)
        projection.append("collaborators", 1)
        return projection
    }()
    private static let statsProjection: BSONDocument = ["plays": 1, "likes": 1, "downloads": 1, "shares": 1]
}

extension BeatStats {
    init(_ document: borrowing BSONView) {
        plays = document.int64OrNil("plays") ?? 0
        likes = document.int64OrNil("likes") ?? 0
        downloads = document.int64OrNil("downloads") ?? 0
        shares = document.int64OrNil("shares") ?? 0
    }
}

/// Turns the public fields of a `beats` document into members of a JSON object. What it does not name does not get out.
enum BeatContentWriter {
    static func members(_ document: borrowing BSONView) -> [UInt8] {
        var json = JSONWriter(capacity: 512)
        document.forEach { field in
            if field.keyIs("metadata") {
                json.key("metadata")
                object(field, into: &json, isMetadataField)
            } else if field.keyIs("audio") {
                json.key("audio")
                object(field, into: &json) { $0.keyIs("previewUrl") || $0.keyIs("format") }
            } else if field.keyIs("artwork") {
                json.key("artwork")
                object(field, into: &json) { $0.keyIs("thumbnailUrl") || $0.keyIs("fullUrl") || $0.keyIs("colors") }
            } else if field.keyIs("collaborators") {
                json.key("collaborators")
                json.array { json in
                    _ = field.withDocument { credits in
                        credits.forEach { credit in
                            object(credit, into: &json) { $0.keyIs("userId") || $0.keyIs("role") || $0.keyIs("creditedName") }
                        }
                    }
                }
            }
        }
        return json.bytes
    }

    private static func isMetadataField(_ field: borrowing BSONField) -> Bool {
        field.keyIs("bpm") || field.keyIs("key") || field.keyIs("genre") || field.keyIs("mood") || field.keyIs("tags")
            || field.keyIs("duration") || field.keyIs("album") || field.keyIs("waveform")
    }

    private static func object(_ field: borrowing BSONField, into json: inout JSONWriter, _ isPublic: (borrowing BSONField) -> Bool) {
        json.object { json in
            _ = field.withDocument { document in
                document.forEach { member in
                    guard isPublic(member) else { return }
                    member.withKeyUTF8 { json.key(utf8: $0) }
                    value(member, into: &json)
                }
            }
        }
    }

    private static func value(_ field: borrowing BSONField, into json: inout JSONWriter) {
        switch field.kind {
        case .string: _ = field.withUTF8 { json.string(utf8: $0) }
        case .array:
            json.array { json in
                _ = field.withDocument { items in items.forEach { value($0, into: &json) } }
            }
        default:
            if let id = field.uuid {
                json.id(EntityID(rawValue: id))
            } else if let integer = field.int64OrNil {
                json.integer(integer)
            } else if let number = field.doubleOrNil {
                json.number(number)
            } else {
                json.null()
            }
        }
    }
}
