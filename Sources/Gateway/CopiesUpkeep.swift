import Beats
import Contract
import DataPlane
import Observability
import Schema

/// What a gateway does for the copies of beats besides delivering to them: has them compared with what they are made of, in turn with the
/// other gateways.
struct CopiesUpkeep: Sendable {
    private let schedule: BeatVerifySchedule?

    /// Throws where the search index's file in `mongo/` cannot be read.
    init(_ settings: Settings, _ stores: Stores, postgres: PostgresAccess, mongo: MongoAccess, observer: any Observer) throws(SchemaError) {
        let minutes = settings.checked("verify.minutes")
        guard minutes > 0 else {
            schedule = nil
            return
        }
        let copy = try CollectionCopy(of: "search_index", directory: settings.text("mongo.directory"))
        schedule = BeatVerifySchedule(
            verifier: BeatVerifier(postgres: postgres, mongo: mongo, sampler: Self.sampler(stores, postgres)),
            rebuild: SearchRebuild(postgres: postgres, mongo: mongo, observer: observer, make: Self.makeCollection(copy, mongo)),
            postgres: postgres, interval: .seconds(minutes * 60), observer: observer)
    }

    /// Nil where there is no cache that gateways share.
    static func sampler(_ stores: Stores, _ postgres: PostgresAccess) -> CacheSampler? {
        stores.redis.map { CacheSampler(redis: $0, postgres: postgres, representations: BeatVerifier.cached) }
    }

    /// Makes a collection as the file of `copy` in `mongo/` says, under the name that it is called with.
    static func makeCollection(_ copy: CollectionCopy, _ mongo: MongoAccess) -> SearchRebuild.Make {
        { name throws(Problem) in try await mongo.result(within: .seconds(120)) { try copy.make(name, in: $0) } }
    }

    /// Until the task is cancelled.
    func run() async { await schedule?.run() }

    var gauges: [Metrics.Gauge] {
        guard let run = schedule?.lastRun else { return [] }
        let seconds = Double(run.endedAt.microseconds - run.begunAt.microseconds) / 1_000_000
        return [
            .init(
                "kababeat_verify_last_run_timestamp_seconds",
                "When copies were last compared to the end, by any gateway: seconds since 1970.",
                Double(run.endedAt.microseconds) / 1_000_000),
            .init("kababeat_verify_last_run_duration_seconds", "How long that took.", seconds),
            .init("kababeat_verify_last_run_compared", "Beats that it compared.", Double(run.compared)),
            .init("kababeat_verify_last_run_mismatches", "Copies that it found to be wrong.", Double(run.mismatches)),
        ]
    }
}
