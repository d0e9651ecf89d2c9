import Contract
import Foundation
import PostgresClient
import TestSupport
import Testing

@testable import DataPlane

/// Rows that have gone while some transaction, a dump say, may still see them: nothing removes them before it ends.
@Suite(.timeLimit(.minutes(5))) struct OutboxSnapshotTests {
    /// Rows that have gone.
    private static let gone = 20_000

    @Test func aClaimPassesNoneOfTheRowsThatHaveGoneWhileASnapshotKeepsThem() async throws {
        try await Stack.use { stack in
            let elsewhere = PostgresClient(stack.server, reactor: Stack.reactor)
            try await elsewhere.transaction(.readOnly, deadline: Stack.soon) { snapshot in
                _ = try await snapshot.query(Self.one)
                try await stack.owner.run(
                    """
                    INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, next_at)
                    SELECT 'beat', gen_random_uuid(), 1, 'upsert', now() - interval '1 minute' FROM generate_series(1, \(Self.gone));
                    DELETE FROM outbox;
                    INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
                    SELECT 'beat', gen_random_uuid(), 1, 'upsert' FROM generate_series(1, 10)
                    """)
                let lately = try await Self.claim(stack, back: ClaimReach.lately)
                #expect(lately.rows == 10)
                #expect(lately.pages < 200, "a claim touched \(lately.pages) pages")
                // What is committed late is found too, at that cost.
                let sweep = try await Self.claim(stack, back: ClaimReach.everything)
                #expect(sweep.rows == 0)
                #expect(sweep.pages > lately.pages)
            }
            await elsewhere.shutdown()
        }
    }

    @Test func whatWasCommittedLateIsDeliveredAllTheSame() async throws {
        try await Stack.use { stack in
            let relay = stack.relay()
            let running = Task { await relay.run() }
            let beat = try await stack.makeBeat(1)
            #expect(await eventually { (try? await stack.version("beats", of: beat)) == 1 })
            try await stack.owner.run(
                """
                UPDATE beats SET version = 2 WHERE id = '\(beat)';
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, next_at)
                VALUES ('beat', '\(beat)', 2, 'upsert', now() - interval '1 hour')
                """)
            #expect(await eventually { (try? await stack.version("beats", of: beat)) == 2 })
            relay.stop()
            await running.value
        }
    }

    private static let one = PostgresStatement<Int32>("SELECT 1") { (row: borrowing PostgresRow) throws(PostgresError) in try row.int32(0) }

    /// Claims, and says how many rows it took and how many pages of tables and indexes it touched for that.
    private static func claim(_ stack: Stack, back span: Duration) async throws -> (rows: Int, pages: Int) {
        let store = OutboxStore(postgres: PostgresAccess(stack.postgres, observer: stack.recorder), lane: .copies)
        let explain = PostgresStatement<String>("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) \(store.claim.sql)") {
            (row: borrowing PostgresRow) throws(PostgresError) in try row.json(0)
        }
        let parameters = store.parameters(.now, back: span)
        let text = try await stack.postgres.query(explain, parameters, settings: .system, deadline: Stack.soon)[0]
        let plans = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        let plan = try #require(plans.first?["Plan"] as? [String: Any])
        let count = { (name: String) in (plan[name] as? NSNumber)?.intValue ?? 0 }
        return (count("Actual Rows"), count("Shared Hit Blocks") + count("Shared Read Blocks"))
    }
}
