import Contract
import DataPlane
import TestSupport
import Testing

/// What somebody who has written is told, where another gateway's relay delivers.
@Suite("Waiting for copies", .timeLimit(.minutes(5)))
struct ProjectionWatchTests {
    @Test(
        "A version is shown once its own row has left the outbox, and not while that is a dead letter",
        arguments: [
            ([], true), (["2 pending"], false), (["2 dead"], false), (["1 pending"], false), (["1 dead"], true), (["3 pending"], true),
        ] as [([String], Bool)])
    func outbox(rows: [String], isShown: Bool) async throws {
        try await Stack.use { stack in
            let beat = EntityID.now
            for row in rows {
                let parts = row.split(separator: " ")
                try await stack.owner.run(
                    """
                    INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, state, next_at)
                    VALUES ('beat', '\(beat)', \(parts[0]), 'upsert', '\(parts[1])', CASE WHEN '\(parts[1])' = 'pending' THEN now() END)
                    """)
            }
            let watch = ProjectionWatch(postgres: stack.postgresAccess, observer: stack.recorder)
            // What is shown is found out long before.
            let limit: Duration = isShown ? .seconds(20) : .milliseconds(300)
            let outcome = try await watch.after(.beat, beat, within: limit) { () throws(Problem) in ("written", 2) }
            #expect(outcome.isShown == isShown)
        }
    }
}
