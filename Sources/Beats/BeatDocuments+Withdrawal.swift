import Contract
import MongoClient

/// Taking beats out of the search index before their own deliveries do.
extension BeatDocuments {
    /// Ids that one write names.
    private static let most = 1_000

    /// Turns the rows of beats that are older than the versions they are to follow to into tombstones of the versions they have, so that the
    /// delivery of the next one passes its fence. What is counted in the index and nowhere else stays.
    static func withdrawals(_ beats: [CreatorBeats.Following], at time: Timestamp) -> [MongoWrite] {
        let tombstone: BSONDocument = [
            "_id": "$_id", "v": "$v", "deleted": true, "deletedAt": .date(milliseconds: time.milliseconds), "popularity": "$popularity",
        ]
        return Dictionary(grouping: beats, by: \.version).flatMap { version, beats in
            stride(from: 0, to: beats.count, by: most).map { start in
                let ids: [BSONValue] = beats[start..<min(start + most, beats.count)].map { .uuid($0.id.rawValue) }
                // Tombstones have no date of creation, and need not be written again.
                return .updateMany(
                    filter: ["_id": ["$in": .array(ids)], "v": ["$lt": .int64(version)], "createdAt": ["$exists": true]],
                    update: pipeline(["$replaceWith": .document(tombstone)]))
            }
        }
    }
}
