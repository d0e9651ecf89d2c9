import MongoClient

/// Brings one collection to what its file says, and tells what is there. Runs within a job of the client.
enum MongoSchema {
    /// Server codes: https://github.com/mongodb/mongo/blob/r6.0.5/src/mongo/base/error_codes.yml
    private static let namespaceExists = MongoError.Code.server(code: 48)
    private static let indexConflicts: Set<MongoError.Code> = [.server(code: 85), .server(code: 86)]

    /// The names of the indexes of each of `collections` that exists.
    static func existing(_ collections: [String], in session: borrowing MongoSession) throws(MongoError) -> [String: Set<String>] {
        let reply = try session.command(["listCollections": 1, "nameOnly": true, "cursor": ["batchSize": 1000]])
        let present = Set(names(reply))
        var indexes: [String: Set<String>] = [:]
        for collection in collections where present.contains(collection) {
            indexes[collection] = Set(try self.indexes(of: collection, in: session))
        }
        return indexes
    }

    /// Makes the collection or changes its validator, then makes the indexes it lacks.
    ///
    /// With `mayDrop`, indexes that the file does not name go, and one that differs from the file is made anew.
    /// - Throws: `SchemaError.indexDiffers`, `MongoError`.
    static func apply(_ definition: CollectionDefinition, mayDrop: Bool, in session: borrowing MongoSession) throws {
        try createOrModify(definition, in: session)
        if mayDrop {
            let named = Set(definition.indexes.map(\.name))
            for index in try indexes(of: definition.collection, in: session) where index != "_id_" && !named.contains(index) {
                try drop(index, of: definition, in: session)
            }
        }
        if try make(definition.indexes, of: definition, in: session) { return }
        for index in definition.indexes where try !make([index], of: definition, in: session) {
            guard mayDrop else { throw SchemaError.indexDiffers(collection: definition.collection, index: index.name) }
            try drop(index.name, of: definition, in: session)
            _ = try make([index], of: definition, in: session)
        }
    }

    private static func createOrModify(
        _ definition: CollectionDefinition, in session: borrowing MongoSession
    ) throws(MongoError) {
        let collection = BSONValue.string(definition.collection)
        do {
            _ = try session.writeCommand(["create": collection, "validator": .document(definition.validator)])
        } catch {
            guard error.code == namespaceExists else { throw error }
            _ = try session.writeCommand([
                "collMod": collection, "validator": .document(definition.validator), "validationLevel": "strict",
                "validationAction": "error",
            ])
        }
    }

    /// Makes what is not there yet, all or nothing. Answers whether none clashes with an index that is there.
    private static func make(
        _ indexes: [CollectionDefinition.Index], of definition: CollectionDefinition, in session: borrowing MongoSession
    ) throws(MongoError) -> Bool {
        if indexes.isEmpty { return true }
        do {
            _ = try session.writeCommand([
                "createIndexes": .string(definition.collection), "indexes": .array(indexes.map { .document($0.specification) }),
            ])
            return true
        } catch {
            guard indexConflicts.contains(error.code) else { throw error }
            return false
        }
    }

    private static func drop(_ index: String, of definition: CollectionDefinition, in session: borrowing MongoSession) throws(MongoError) {
        _ = try session.writeCommand(["dropIndexes": .string(definition.collection), "index": .string(index)])
    }

    private static func indexes(of collection: String, in session: borrowing MongoSession) throws(MongoError) -> [String] {
        names(try session.command(["listIndexes": .string(collection)]))
    }

    /// The `name` of every document in the first batch of a cursor; what is listed here fits into one.
    private static func names(_ reply: BSONBytes) -> [String] {
        var names: [String] = []
        reply.withView { reply in
            _ = reply.withField("cursor.firstBatch") { batch in
                batch.withDocument { documents in
                    documents.forEach { entry in
                        _ = entry.withDocument { if let name = $0.stringOrNil("name") { names.append(name) } }
                    }
                }
            }
        }
        return names
    }
}
