import Beats
import Contract
import DataPlane
import Schema

/// What the command line does about copies that are to be built anew.
extension Commands {
    /// Builds the search index anew and exchanges it for the one in use. `onProgress` hears beats done and the fraction of all.
    public static func rebuildSearch(
        _ settings: Settings, onProgress: @escaping @Sendable (Int, Double) -> Void
    ) async throws -> String {
        let start = ContinuousClock.now
        let count = try await withStores(settings, isPatient: true) { stores, observer in
            let copy = try CollectionCopy(of: "search_index", directory: settings.text("mongo.directory"))
            let mongo = MongoAccess(stores.mongo, observer: observer)
            let rebuild = SearchRebuild(
                postgres: PostgresAccess(stores.postgres, observer: observer), mongo: mongo, observer: observer,
                make: CopiesUpkeep.makeCollection(copy, mongo))
            return try await rebuild.run { done, all in onProgress(Int(done), Double(done) / Double(max(all, 1))) }
        }
        let tenths = (ContinuousClock.now - start).microseconds / 100_000
        return "built the search index anew of \(count) beats in \(tenths / 10).\(tenths % 10) s"
    }
}
