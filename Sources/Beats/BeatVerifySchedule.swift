import Contract
import DataPlane
import PostgresClient
import Synchronization

/// Has the copies compared from time to time, by one of all gateways: whoever takes the lease first when a comparison is due. A run looks
/// at what was changed since the last one began and at samples of the cache; once a day one looks at everything.
///
/// What it finds it counts, and has delivered once more, which harms nobody and mends what a delivery can mend. It takes nothing away and
/// gives nothing up: that is an operator's decision.
public final class BeatVerifySchedule: Sendable {
    /// The last run, of whichever gateway.
    public struct Run: Sendable, Equatable {
        public let begunAt: Timestamp
        public let endedAt: Timestamp
        /// Beats that were compared, and copies that were wrong.
        public let compared: Int64
        public let mismatches: Int64
        let completeBegunAt: Timestamp?
    }

    /// The last run as Postgres has it, and its clock: gateways' own differ, from each other and from the one that dates beats.
    private struct Standing: Sendable {
        let now: Timestamp
        let run: Run?

        /// Whether that long has gone by; since never, it always has.
        func isOver(_ span: Duration, since time: Timestamp?) -> Bool {
            time.map { now.microseconds - $0.microseconds >= span.inMicroseconds } ?? true
        }
    }

    private static let lease = "verify beats"
    /// How long everything may go without being looked at.
    private static let complete = Duration.seconds(86_400)
    /// How often a gateway looks whether a run is due.
    private static let look = Duration.seconds(30)
    /// Beats that one run has delivered once more. Where more are wrong, something is wrong that deliveries will not mend.
    static let mostRedelivered = 1000
    /// What is changed while a run begins is looked at twice rather than never.
    private static let overlap: Int64 = 60_000_000

    private let verifier: BeatVerifier
    private let rebuild: SearchRebuild
    private let leases: LeaseStore
    private let postgres: PostgresAccess
    private let interval: Duration
    private let pause: Duration
    private let observer: any Observer
    private let timeout = Duration.seconds(5)
    private let last = Mutex<Run?>(nil)

    /// Runs every `interval`. `pause` is what it leaves to others after each page. `rebuild` clears away what a killed one has left.
    public init(
        verifier: BeatVerifier, rebuild: SearchRebuild, postgres: PostgresAccess, interval: Duration,
        pause: Duration = .milliseconds(100), observer: any Observer
    ) {
        self.verifier = verifier
        self.rebuild = rebuild
        leases = LeaseStore(postgres: postgres)
        self.postgres = postgres
        self.interval = interval
        self.pause = pause
        self.observer = observer
    }

    /// The last run that this gateway knows of, for metrics.
    public var lastRun: Run? { last.withLock { $0 } }

    /// Looks from time to time, and compares when it is time and nobody else does, until the task is cancelled.
    public func run() async {
        // Cancelled, the wait ends at once, and so does the loop.
        while (try? await Task.sleep(for: min(Self.look, interval))) != nil {
            do throws(Problem) { try await runIfDue() } catch {
                // A store that does not answer is told of elsewhere; the next look tries again.
                if error.code == .internal { observer.observe(.unexpectedError(id: nil, detail: "verify: \(error.detail)")) }
            }
        }
    }

    /// One run, if one is due and nobody else is at it. Returns whether it ran. Throws `storeUnavailable` or `overloaded`.
    @discardableResult
    func runIfDue() async throws(Problem) -> Bool {
        guard isDue(try await current()) else { return false }
        let ran = try await leases.hold(Self.lease) { _ throws(Problem) in
            // Another may have done it between the look and the lease.
            let standing = try await current()
            guard isDue(standing) else { return false }
            try await rebuild.clearAbandoned()
            try await compare(standing)
            return true
        }
        return ran ?? false
    }

    private func current() async throws(Problem) -> Standing {
        guard let standing = try await postgres.rows(Self.select, [], as: .system, within: timeout).first else { throw .unexpected }
        last.withLock { $0 = standing.run }
        return standing
    }

    private func isDue(_ standing: Standing) -> Bool { standing.isOver(interval, since: standing.run?.begunAt) }

    private func compare(_ standing: Standing) async throws(Problem) {
        let isComplete = standing.isOver(Self.complete, since: standing.run?.completeBegunAt)
        let since = isComplete ? nil : standing.run.map { Timestamp(microseconds: $0.begunAt.microseconds - Self.overlap) }
        let tally = Tally()
        let extent = try await verifier.run(since: since, pause: pause) { mismatch throws(Problem) in
            try await self.note(mismatch, tally)
        }
        let complete = isComplete ? standing.now : standing.run?.completeBegunAt
        let parameters: [PostgresValue] = [
            .timestamp(standing.now.microseconds), complete.map { .timestamp($0.microseconds) } ?? .null, .int64(extent.beats),
            .int64(tally.mismatches),
        ]
        let runs = try await postgres.rows(Self.record, parameters, as: .system, within: timeout)
        last.withLock { $0 = runs.first ?? nil }
    }

    private func note(_ mismatch: BeatMismatch, _ tally: Tally) async throws(Problem) {
        let isRedelivered = tally.count(mismatch.id) ? try await verifier.redeliver(mismatch) : false
        observer.observe(
            .mismatch(kind: mismatch.kind.rawValue, place: mismatch.place.rawValue, id: mismatch.id, isRedelivered: isRedelivered))
    }

    /// What one run has found.
    private final class Tally: Sendable {
        private let state = Mutex<(mismatches: Int64, redelivered: Set<EntityID>)>((0, []))

        var mismatches: Int64 { state.withLock { $0.mismatches } }

        /// Whether this beat is to be delivered once more: each only once, and not too many.
        func count(_ id: EntityID) -> Bool {
            state.withLock { state in
                state.mismatches += 1
                return state.redelivered.count < mostRedelivered && state.redelivered.insert(id).inserted
            }
        }
    }

    // MARK: What gateways know of each other's runs

    private static let columns = "begun_at, ended_at, compared, mismatches, complete_begun_at"

    private static func run(_ row: borrowing PostgresRow) throws(PostgresError) -> Run? {
        guard let begun = try row.timestampMicrosecondsOrNil(0) else { return nil }
        return Run(
            begunAt: Timestamp(microseconds: begun), endedAt: Timestamp(microseconds: try row.timestampMicroseconds(1)),
            compared: try row.int64(2), mismatches: try row.int64(3),
            completeBegunAt: try row.timestampMicrosecondsOrNil(4).map { Timestamp(microseconds: $0) })
    }

    private static let select = PostgresStatement<Standing>(
        "SELECT \(columns), now() FROM (SELECT) AS asked LEFT JOIN verifications ON name = 'beats'"
    ) { row throws(PostgresError) in Standing(now: Timestamp(microseconds: try row.timestampMicroseconds(5)), run: try run(row)) }

    private static let record = PostgresStatement<Run?>(
        """
        INSERT INTO verifications (name, begun_at, complete_begun_at, ended_at, compared, mismatches)
        VALUES ('beats', $1, $2, greatest(now(), $1), $3, $4)
        ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at, complete_begun_at = excluded.complete_begun_at,
            ended_at = excluded.ended_at, compared = excluded.compared, mismatches = excluded.mismatches
        RETURNING \(columns)
        """, decode: run)
}

extension Duration {
    fileprivate var inMicroseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}
