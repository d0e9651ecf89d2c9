import Beats
import Contract
import CrashPoints
import DataPlane

/// What the command line does about copies that are not what they should be.
extension Commands {
    /// What a comparison found, and what became of it.
    public struct Verification: Sendable {
        /// How many copies are wrong, by place and kind.
        public internal(set) var counts: [BeatMismatch.Place: [BeatMismatch.Kind: Int]] = [:]
        /// Some of them, to look at.
        public internal(set) var examples: [BeatMismatch] = []
        public internal(set) var repaired = 0
        /// Bodies of the shared cache that were looked at; nil where it did not answer, or there is none.
        public internal(set) var samples: Int?

        public var total: Int { counts.values.reduce(0) { $0 + $1.values.reduce(0, +) } }

        static let mostExamples = 20

        mutating func add(_ mismatch: BeatMismatch) {
            counts[mismatch.place, default: [:]][mismatch.kind, default: 0] += 1
            if examples.count < Self.mostExamples { examples.append(mismatch) }
        }

        /// A table of what is wrong, and then the examples.
        public var text: String {
            let kinds = BeatMismatch.Kind.allCases
            func row(_ cells: [String]) -> String {
                cells.enumerated().map { index, cell in
                    let padding = String(repeating: " ", count: max(0, (index == 0 ? 14 : 11) - cell.count))
                    return index == 0 ? cell + padding : padding + cell
                }.joined()
            }
            var lines = [row([""] + kinds.map(\.rawValue))]
            for place in BeatMismatch.Place.allCases {
                lines.append(row([place.rawValue] + kinds.map { String(counts[place]?[$0] ?? 0) }))
            }
            lines.append(samples.map { "\($0) bodies of the cache were looked at" } ?? "the cache was left out")
            lines += examples.map { "\($0.place.rawValue) \($0.id) is \($0.kind.rawValue)" }
            if total > examples.count { lines.append("and \(total - examples.count) more") }
            return lines.joined(separator: "\n")
        }
    }

    /// How far back a comparison may look: ten years, as long as there is anything to look at.
    public static let hoursCompared = 1...87_600

    /// Compares copies with what they are made of: of all beats, or of those that were changed in the last `hours`; and samples of the
    /// cache. With `repair`, has what is wrong written anew through the outbox, and delivers it.
    public static func verify(
        _ settings: Settings, hours: Int?, repair: Bool, onProgress: @escaping @Sendable (Int, Double) -> Void
    ) async throws -> Verification {
        let since = hours.map { Timestamp(microseconds: Timestamp.now.microseconds - Int64($0) * 3_600_000_000) }
        return try await withStores(settings) { stores, observer in
            let postgres = PostgresAccess(stores.postgres, observer: observer)
            let mongo = MongoAccess(stores.mongo, observer: observer)
            let verifier = BeatVerifier(postgres: postgres, mongo: mongo, sampler: CopiesUpkeep.sampler(stores, postgres))
            let found = try await compare(verifier, since, repair, onProgress)
            if repair {
                let cache = EntityCache(
                    representations: GatewayService.representations, redis: stores.redis, postgres: postgres, observer: observer)
                let projectors = GatewayService.projectors(postgres, mongo, observer)
                try await OutboxRelay(
                    settings.copiesLane, postgres: postgres, projectors: projectors, cache: cache, observer: observer
                ).drain(within: .seconds(60))
            }
            return found
        }
    }

    private static func compare(
        _ verifier: BeatVerifier, _ since: Timestamp?, _ repair: Bool, _ onProgress: @Sendable (Int, Double) -> Void
    ) async throws(Problem) -> Verification {
        var found = Verification()
        var renewed: Set<EntityID> = []
        let extent = try await verifier.run(since: since) { done, all in
            onProgress(Int(done), Double(done) / Double(max(all, 1)))
        } onMismatch: { mismatch throws(Problem) in
            found.add(mismatch)
            guard repair, renewed.insert(mismatch.id).inserted else { return }
            try await verifier.repair(mismatch)
            crash(at: .repairAfterEnqueueing)
            found.repaired += 1
        }
        found.samples = extent.samples
        return found
    }
}
