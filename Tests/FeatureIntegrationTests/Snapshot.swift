import Contract
import Foundation
import JSON
import MongoClient
import PostgresClient
import Testing

/// All that an import leaves in both databases, without what differs between two imports of the same: ids and the time of day.
struct Snapshot: Equatable {
    var beats: [String] = []
    var users: [String] = []
    var contents: [String] = []
    var index: [String] = []
    var originals: [String] = []

    init(_ stack: Stack) async throws {
        beats = try await stack.texts(
            """
            SELECT concat_ws('|', beats.source, beats.external_id, beats.version, title, description, beats.status, is_featured, currency,
                             price_basic, price_premium, price_exclusive, price, beats.created_at, published_at,
                             users.source, users.external_id)
            FROM beats JOIN users ON users.id = creator_id ORDER BY 1
            """)
        users = try await stack.texts(
            "SELECT concat_ws('|', source, external_id, username, display_name, is_creator, status, version) FROM users ORDER BY 1")
        let names = Dictionary(try await stack.beatIDs().map { ($0.value.rawValue, $0.key) }) { first, _ in first }
        let creators = try await stack.owner.query(
            PostgresStatement("SELECT id, external_id FROM users") { (row: borrowing PostgresRow) throws(PostgresError) in
                (try row.uuid(0), try row.text(1))
            }, deadline: Stack.soon)
        let known = names.merging(creators) { first, _ in first }
        contents = try await Self.documents("beats", known, stack)
        index = try await Self.documents("search_index", known, stack)
        originals = try await stack.mongo.run(deadline: Stack.soon) { session in
            var files: [UInt128] = []
            try session.find("media.files", [:]) { files.append(try $0.uuid("_id")) }
            return try files.map { id in
                var digest = Digest()
                let file = try session.download(bucket: "media", id: .uuid(id)) { digest.update($0) }
                return "\(EntityID(rawValue: id)) \(file?.length ?? -1) \(digest.value)"
            }.sorted()
        }
    }

    /// What must be empty once an import has ended: nothing waits, nothing is staged, no chunk lies about without its file.
    static func leftovers(_ stack: Stack) async throws -> [String: Int] {
        let chunks = try await stack.mongo.run(deadline: Stack.soon) { session in
            var orphans = 0
            var files: Set<UInt128> = []
            try session.find("media.files", [:], projection: ["_id": 1]) { files.insert(try $0.uuid("_id")) }
            try session.find("media.chunks", [:], projection: ["files_id": 1]) {
                if !files.contains(try $0.uuid("files_id")) { orphans += 1 }
            }
            return orphans
        }
        return [
            "outbox": try await stack.count("outbox"), "staged": try await stack.count("beat_content_staged"), "chunks": chunks,
            "unindexed": try await stack.count("beats WHERE status = 'published'")
                - (try await stack.mongoCount("search_index", ["title": ["$exists": true]])),
            "without content": try await stack.count("beats") - (try await stack.mongoCount("beats")),
        ]
    }

    static let clean = ["outbox": 0, "staged": 0, "chunks": 0, "unindexed": 0, "without content": 0]

    private static func documents(_ collection: String, _ names: [UInt128: String], _ stack: Stack) async throws -> [String] {
        try await stack.mongo.run(deadline: Stack.soon) { session in
            var documents: [String] = []
            try session.find(collection, [:]) { documents.append(describe($0, names)) }
            return documents.sorted()
        }
    }

    private static func describe(_ document: borrowing BSONView, _ names: [UInt128: String]) -> String {
        var fields: [String] = []
        document.forEach { field in
            // When a row was last touched is the time of day.
            if !field.keyIs("deletedAt") { fields.append("\(field.key)=\(describe(field, names))") }
        }
        return "{\(fields.joined(separator: ","))}"
    }

    private static func describe(_ field: borrowing BSONField, _ names: [UInt128: String]) -> String {
        if let id = field.uuid { return names[id] ?? EntityID(rawValue: id).description }
        if let nested = field.withDocument({ describe($0, names) }) { return nested }
        return field.valueOrNil.map { "\($0)" } ?? "\(field.kind)"
    }
}
