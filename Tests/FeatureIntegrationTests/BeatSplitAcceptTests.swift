import Contract
import DataPlane
import PostgresClient
import TestSupport
import Testing

@testable import Beats

/// An offer is accepted as it was seen, or not at all.
@Suite("Accepting a share", .timeLimit(.minutes(5)))
struct BeatSplitAcceptTests {
    /// A beat of Ada's of which Bob is offered half.
    private struct Scene {
        let stack: Stack
        let store: BeatSplitStore
        let ada: Account
        let bob: Account
        let beat: EntityID

        static func use(_ body: (Scene) async throws -> Void) async throws {
            try await Stack.use { stack in
                let accounts = (0..<2).map { _ in
                    Account(id: .now, sessionID: nil, roles: [.user, .creator], isVerified: true, hasSecondFactor: false)
                }
                let scene = Scene(
                    stack: stack, store: BeatSplitStore(postgres: stack.postgresAccess, timeout: .seconds(20)), ada: accounts[0],
                    bob: accounts[1], beat: .now)
                try await stack.owner.run(
                    """
                    INSERT INTO users (id, username) VALUES ('\(scene.ada.id)', 'ada'), ('\(scene.bob.id)', 'bob');
                    INSERT INTO user_roles (user_id, role) VALUES ('\(scene.ada.id)', 'creator');
                    INSERT INTO beats (id, creator_id, title) VALUES ('\(scene.beat)', '\(scene.ada.id)', 'Untold')
                    """)
                try await scene.offer(50_00)
                try await body(scene)
            }
        }

        /// Ada offers Bob this share in place of whatever he was offered; nothing where it is 0.
        func offer(_ hundredths: Int64) async throws(Problem) {
            let offers = [(ada, BeatSplit.Share.whole - hundredths), (bob, hundredths)].filter { $0.1 > 0 }
            try await store.replace(
                offers.map { BeatSplit.Offer(user: $0.0.id, share: .init(hundredths: $0.1)) }, of: beat, by: ada,
                filing: AuditEvent("beat_splits_offered", .permission, .notice, actor: ada.id))
        }

        func accept(_ hundredths: Int64) async throws(Problem) -> Bool {
            try await store.accept(
                .init(hundredths: hundredths), of: beat, for: bob,
                filing: AuditEvent("beat_split_accepted", .permission, .notice, actor: bob.id))
        }

        /// What stands of Bob's share, and how often it was filed that he accepted one.
        func standing() async throws -> [String] {
            try await stack.texts(
                "SELECT share || CASE WHEN accepted_at IS NULL THEN ' open' ELSE ' accepted' END FROM beat_splits WHERE user_id = '\(bob.id)'"
            )
                + stack.texts("SELECT count(*)::text FROM audit_log WHERE action = 'beat_split_accepted'")
        }
    }

    @Test("An offer is accepted once; another share is a conflict, and one that was taken back is not there")
    func inTurn() async throws {
        try await Scene.use { scene in
            #expect(await problem { () throws(Problem) in try await scene.accept(40_00) } == .conflict)
            #expect(try await scene.standing() == ["50.00 open", "0"])
            for _ in 0..<2 { #expect(try await scene.accept(50_00)) }
            #expect(try await scene.standing() == ["50.00 accepted", "1"])
            #expect(await problem { () throws(Problem) in try await scene.accept(40_00) } == .conflict)
            try await scene.offer(40_00)
            #expect(await problem { () throws(Problem) in try await scene.accept(50_00) } == .conflict)
            #expect(try await scene.standing() == ["40.00 open", "1"])
            try await scene.offer(0)
            #expect(try await !scene.accept(40_00))
            #expect(try await scene.standing() == ["1"])
        }
    }

    @Test(
        "An offer that is replaced while it is being accepted is not accepted, and nobody is told that it was",
        arguments: [("40", Problem.Code.conflict as Problem.Code?), ("50", .conflict), ("0", nil)])
    func racing(share: String, expected: Problem.Code?) async throws {
        try await Scene.use { scene in
            let withdrawal = PostgresStatement<Void>("DELETE FROM beat_splits WHERE user_id = '\(scene.bob.id)'")
            let offer = PostgresStatement<Void>(
                """
                INSERT INTO beat_splits (beat_id, user_id, share, offered_by)
                SELECT '\(scene.beat)', '\(scene.bob.id)', \(share), '\(scene.ada.id)' WHERE \(share) > 0
                """)
            let accepting = try await scene.stack.owner.transaction(deadline: Stack.soon) { replacing in
                try await replacing.execute(withdrawal)
                try await replacing.execute(offer)
                let accepting = Task { () throws(Problem) in try await scene.accept(50_00) }
                let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                #expect(try await eventually { try await scene.stack.count(waiting) == 1 })
                return accepting
            }
            do {
                let isAccepted = try await accepting.value
                #expect(!isAccepted && expected == nil)
            } catch let problem as Problem {
                #expect(problem.code == expected)
            }
            #expect(try await scene.standing() == (share == "0" ? [] : ["\(share).00 open"]) + ["0"])
        }
    }
}
