import Foundation
import Testing

@Suite("The shard keys that mongo/ declares")
struct ShardKeyTests {
    private struct Collection {
        let name: String
        let shardKey: [(field: String, kind: String)]
        let uniqueIndexes: [[String]]
    }

    private static func collections() throws -> [Collection] {
        let folder = "\(SchemaFixture.root)/mongo"
        return try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".json") }.sorted().map { file in
            let text = try Data(contentsOf: URL(filePath: "\(folder)/\(file)"))
            let json = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
            let indexes = try #require(json["indexes"] as? [[String: Any]])
            return Collection(
                name: try #require(json["collection"] as? String), shardKey: try pairs(json["shardKey"]),
                uniqueIndexes: try indexes.filter { $0["unique"] as? Bool == true }.map { try pairs($0["key"]).map(\.field) })
        }
    }

    private static func pairs(_ value: Any?) throws -> [(field: String, kind: String)] {
        try #require(value as? [[Any]]).map { pair in (try #require(pair.first as? String), "\(try #require(pair.last))") }
    }

    @Test("A unique index begins with its collection's shard key: a shard knows its own documents alone")
    func uniqueIndexes() throws {
        for collection in try Self.collections() {
            for fields in collection.uniqueIndexes {
                #expect(fields.starts(with: collection.shardKey.map(\.field)), "\(collection.name): \(fields)")
            }
        }
    }

    @Test("docs/scaling.md has every collection with the shard key of its file")
    func documented() throws {
        let page = try String(contentsOfFile: "\(SchemaFixture.root)/docs/scaling.md", encoding: .utf8)
        let rows = page.split(separator: "\n").filter { $0.hasPrefix("| `") }.map { $0.split(separator: "|").map { cell in cell.trimmed } }
        let documented = rows.flatMap { row in
            row[0].split(separator: ",").map { "\($0.trimmed) \(row.count > 1 ? row[1] : "")" }
        }
        for collection in try Self.collections() {
            let key = collection.shardKey.map { $0.kind == "hashed" ? "\($0.field) hashed" : $0.field }.joined(separator: ", ")
            #expect(documented.contains("`\(collection.name)` `\(key)`"), "\(collection.name)")
        }
    }
}

extension Substring {
    fileprivate var trimmed: String { trimmingCharacters(in: .whitespaces) }
}
