/// What a store has, as `schema_migrations` and MongoDB's catalogue tell.
struct SchemaState: Sendable {
    struct Entry: Hashable, Sendable {
        let kind: MigrationStep.Kind
        let name: String
    }

    /// Checksums of what was applied.
    var applied: [Entry: String] = [:]
    /// Checksums of the files as they are now.
    var current: [Entry: String] = [:]
    /// The indexes of each collection that exists.
    var collections: [String: Set<String>] = [:]
}

/// What is left to do. A pure function of the files and the state.
struct MigrationPlan: Sendable {
    let sql: [SQLFile]
    let mongo: [CollectionFile]

    /// - Throws: `.edited`, `.missing`, `.outOfOrder`.
    init(files: SchemaFiles, state: SchemaState) throws(SchemaError) {
        var pending: [SQLFile] = []
        for file in files.sql {
            let entry = SchemaState.Entry(kind: .sql, name: file.name)
            switch state.applied[entry] {
            case nil: pending.append(file)
            case state.current[entry]:
                if let early = pending.first { throw .outOfOrder(file: early.name, after: file.name) }
            default: throw .edited(file: file.name)
            }
        }
        let names = Set(files.sql.map(\.name))
        let gone = state.applied.keys.filter { $0.kind == .sql && !names.contains($0.name) }.map(\.name).min()
        if let gone { throw .missing(file: gone) }
        sql = pending

        // A collection's file says how it is to be, not how to get there, so it may change. One whose collection or index is gone
        // is applied again.
        mongo = files.mongo.filter { file in
            let entry = SchemaState.Entry(kind: .mongo, name: file.name)
            let isApplied = state.applied[entry] != nil && state.applied[entry] == state.current[entry]
            guard isApplied, let indexes = state.collections[file.definition.collection] else { return true }
            return !indexes.isSuperset(of: file.definition.indexes.map(\.name))
        }
    }

    var names: [String] { sql.map(\.name) + mongo.map(\.name) }
}
