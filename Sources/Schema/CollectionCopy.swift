import MongoClient

/// A collection as its file in `mongo/` has it, to be made under another name: for one that is to take its place.
public struct CollectionCopy: Sendable {
    private let definition: CollectionDefinition

    /// Throws where the directory has no such file, or one that describes no collection.
    public init(of collection: String, directory: String) throws(SchemaError) {
        guard let file = try SchemaFiles.collections(in: directory).first(where: { $0.definition.collection == collection }) else {
            throw .unreadable(path: "\(directory)/\(collection).json", reason: "it does not exist")
        }
        definition = file.definition
    }

    /// Makes it, validator and indexes, under `name`. Throws what the server or the way to it gives.
    public func make(_ name: String, in session: borrowing MongoSession) throws {
        try MongoSchema.apply(definition.named(name), mayDrop: false, in: session)
    }
}
