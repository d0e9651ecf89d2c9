import FoundationEssentials

/// One forward migration of Postgres.
struct SQLFile: Sendable {
    let name: String
    let text: String
}

/// One collection of MongoDB as its file describes it.
struct CollectionFile: Sendable {
    let name: String
    let text: String
    let definition: CollectionDefinition
}

/// The schema files of both stores, each in its order.
struct SchemaFiles: Sendable {
    let sql: [SQLFile]
    let mongo: [CollectionFile]

    init(sqlDirectory: String, mongoDirectory: String) throws(SchemaError) {
        sql = try Self.texts(in: sqlDirectory, suffix: ".sql").map { SQLFile(name: $0.name, text: $0.text) }
        for file in sql where !Self.isMigrationName(file.name) { throw .badName(file: file.name) }
        for (first, second) in zip(sql, sql.dropFirst()) where first.name.prefix(3) == second.name.prefix(3) {
            throw .sameNumber(first: first.name, second: second.name)
        }
        mongo = try Self.collections(in: mongoDirectory)
    }

    static func collections(in directory: String) throws(SchemaError) -> [CollectionFile] {
        var collections: [CollectionFile] = []
        for (name, text) in try texts(in: directory, suffix: ".json") {
            collections.append(CollectionFile(name: name, text: text, definition: try CollectionDefinition(file: name, text: text)))
        }
        return collections
    }

    private static func texts(in directory: String, suffix: String) throws(SchemaError) -> [(name: String, text: String)] {
        var path = directory
        do {
            let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(suffix) }.sorted()
            return try names.map { name in
                path = "\(directory)/\(name)"
                return (name, try String(contentsOfFile: path, encoding: .utf8))
            }
        } catch {
            let isMissing = (error as? CocoaError)?.code == .fileReadNoSuchFile
            throw .unreadable(path: path, reason: isMissing ? "it does not exist" : "\(error)")
        }
    }

    private static func isMigrationName(_ name: String) -> Bool {
        let stem = name.dropLast(".sql".count)
        let isNumbered = stem.prefix(3).allSatisfy { "0"..."9" ~= $0 } && stem.dropFirst(3).first == "_"
        return isNumbered && stem.count > 4 && stem.dropFirst(4).allSatisfy { "a"..."z" ~= $0 || "0"..."9" ~= $0 || $0 == "_" }
    }
}
