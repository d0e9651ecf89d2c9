import CMongoC

/// What one worker thread owns for life: a client of the pool, and the collections it has met. Used on its thread alone.
final class Worker {
    let client: OpaquePointer
    let database: String
    private var collections: [String: OpaquePointer] = [:]

    /// The GridFS buckets whose indexes were made.
    var preparedBuckets: Set<String> = []

    init(borrowing client: OpaquePointer, database: String) {
        self.client = client
        self.database = database
    }

    deinit { forgetCollections() }

    /// The handle of a collection, made once: making one costs more than a small document.
    func collection(_ name: String) throws(MongoError) -> OpaquePointer {
        if let known = collections[name] { return known }
        guard !name.isEmpty, !name.utf8.contains(0), let made = mongoc_client_get_collection(client, database, name) else {
            throw MongoError(.refused, detail: "unusable collection name")
        }
        // Names come from code, so there are few; should one ever come from elsewhere, memory stays bounded.
        if collections.count >= 256 { forgetCollections() }
        collections[name] = made
        return made
    }

    private func forgetCollections() {
        for collection in collections.values { mongoc_collection_destroy(collection) }
        collections.removeAll()
    }
}
