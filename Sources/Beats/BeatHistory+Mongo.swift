import Contract
import DataPlane
import Foundation
import MongoClient

/// One change of a beat's content: in which version, who, when, and what he says of it.
struct BeatChange: Codable, Sendable, Equatable {
    let v: Int64
    let text: String
    let by: String
    /// Milliseconds since 1970.
    let at: Int64
}

/// The version history: documents of up to a hundred versions each, so that none grows without end.
struct BeatHistory: Sendable {
    static let bucket: Int64 = 100

    let mongo: MongoAccess
    let timeout: Duration

    /// Appends what was staged. A change that is there already is left alone: its bucket then does not match, and making it anew is refused
    /// as a duplicate.
    static func appends(_ changes: [BeatChange], to beat: EntityID) -> [MongoWrite] {
        changes.map { change in
            var entry: BSONDocument = ["v": .int64(change.v), "text": .string(change.text)]
            if let by = EntityID(change.by) { entry.append("by", .uuid(by.rawValue)) }
            entry.append("at", .date(milliseconds: change.at))
            return .updateOne(
                filter: ["_id": .document(key(beat, change.v)), "changes.v": ["$ne": .int64(change.v)]],
                update: ["$push": ["changes": .document(entry)]], upsert: true)
        }
    }

    static func key(_ beat: EntityID, _ version: Int64) -> BSONDocument {
        ["beatId": .uuid(beat.rawValue), "bucket": .int32(Int32(clamping: version / bucket))]
    }

    /// The changes of versions below `version`, the newest first, at most `limit`. Throws `storeUnavailable` or `overloaded`.
    func changes(of beat: EntityID, below version: Int64, limit: Int) async throws(Problem) -> [BeatChange] {
        try await mongo.result(within: timeout) { session in
            var changes: [BeatChange] = []
            var newest: Int32? = Int32(clamping: version / Self.bucket)
            // A bucket or two have what a page takes; where few versions changed the content, it may be more.
            while changes.count < limit, let bucket = newest {
                newest = nil
                let filter: BSONDocument = ["_id.beatId": .uuid(beat.rawValue), "_id.bucket": ["$lte": .int32(bucket)]]
                try session.find("beat_versions", filter, sort: ["_id.beatId": 1, "_id.bucket": -1], limit: 1) { document in
                    changes += Self.read(document).filter { $0.v < version }.sorted { $0.v > $1.v }
                    newest = document.int64OrNil("_id.bucket").flatMap { $0 > 0 ? Int32(clamping: $0 - 1) : nil }
                }
            }
            return Array(changes.prefix(limit))
        }
    }

    static func read(_ document: borrowing BSONView) -> [BeatChange] {
        var changes: [BeatChange] = []
        _ = document.withField("changes") { field in
            _ = field.withDocument { items in
                items.forEach { item in
                    _ = item.withDocument { change in
                        changes.append(
                            BeatChange(
                                v: change.int64OrNil("v") ?? 0, text: change.stringOrNil("text") ?? "",
                                by: change.uuidOrNil("by").map { EntityID(rawValue: $0).description } ?? "",
                                at: change.dateMillisecondsOrNil("at") ?? 0))
                    }
                }
            }
        }
        return changes
    }
}
