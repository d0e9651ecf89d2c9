import Contract
import Foundation

/// A beat as Postgres has it now, in one snapshot with its staged content.
struct BeatState: Sendable {
    let id: EntityID
    let version: Int64
    let isPublished: Bool
    let isDeleted: Bool
    let title: String
    let creator: EntityID
    let artistName: String
    let currency: String
    let price: Int64?
    let isFeatured: Bool
    let createdAt: Timestamp
    let updatedAt: Timestamp
    let staged: String?
    /// The version that last brought content.
    var contentVersion: Int64 = 1
    /// The collection that is to be the search index, while there is one.
    var next: String?
    /// What the version history has not got yet, as it is staged.
    var changes: String?
    /// Whether this or any version before it was published. Once true, it stays so.
    var wasPublished = true

    func history() throws -> [BeatChange] { try Self.decoder.decode([BeatChange].self, from: Data((changes ?? "[]").utf8)) }

    private static let decoder = JSONDecoder()
}
