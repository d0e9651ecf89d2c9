import Contract
import DataPlane
import Foundation

import MongoClient
import NIOCore
import TestSupport
import Testing

@testable import Beats
@testable import HTTPAPI

/// Beats as they are written, over the real databases.
@Suite("Beats that are written", .timeLimit(.minutes(5)))
struct BeatDraftTests {
    /// Ada, who makes beats, Bob, who does not, and a relay that runs only where a test says so.
    private struct Scene {
        let stack: Stack
        let desk: AccountDesk
        let drafts: BeatDraftService
        let relay: OutboxRelay
        let ada: Account
        let bob: Account

        static func use(_ body: (Scene) async throws -> Void) async throws {
            try await Stack.use { stack in
                let desk = try await AccountDesk(stack)
                let mongo = MongoAccess(stack.mongo, observer: stack.recorder)
                let watch = ProjectionWatch(postgres: desk.postgres, observer: stack.recorder)
                let cache = stack.cache()
                let relay = OutboxRelay(
                    postgres: desk.postgres, projectors: [BeatProjector(postgres: desk.postgres, mongo: mongo)], cache: cache,
                    watch: watch, observer: stack.recorder)
                let notice = CommitNotice(cache: cache, observer: stack.recorder) { relay.poke() }
                let scene = Scene(
                    stack: stack, desk: desk,
                    drafts: BeatDraftService(
                        beats: stack.service(), postgres: desk.postgres, mongo: mongo, watch: watch, notice: notice,
                        observer: stack.recorder,
                        patience: .milliseconds(300)),
                    relay: relay, ada: try await account("ada", desk, [.user, .creator]), bob: try await account("bob", desk, .user))
                try await body(scene)
            }
        }

        private static func account(_ name: String, _ desk: AccountDesk, _ roles: Roles) async throws -> Account {
            Account(
                id: try await desk.session.makeAccount(name, roles: roles.all.map(\.rawValue)), sessionID: nil, roles: roles,
                isVerified: true, hasSecondFactor: false)
        }

        /// Runs `body` while the relay delivers.
        func delivering(_ body: () async throws -> Void) async throws {
            let running = Task { await relay.run() }
            let outcome: Result<Void, any Error>
            do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
            relay.stop()
            await running.value
            try outcome.get()
        }

        func make(_ title: String = "Summer Vibes", _ edit: (inout BeatEdit) -> Void = { _ in }) async throws -> (EntityID, [String: Any]) {
            var draft = BeatEdit()
            draft.title = .set(title)
            edit(&draft)
            let made = try AccountDesk.object(try await drafts.create(draft, by: ada).body)
            return (try #require((made["id"] as? String).flatMap { EntityID($0) }), made)
        }

        @discardableResult
        func edit(
            _ id: EntityID, ifVersion match: IfMatch = .any, by account: Account? = nil, _ change: (inout BeatEdit) -> Void
        ) async throws -> [String: Any] {
            var edit = BeatEdit()
            change(&edit)
            return try AccountDesk.object(try await drafts.edit(id, edit, ifVersion: match, by: account ?? ada).body)
        }

        func move(_ id: EntityID, to status: BeatStatus, by account: Account? = nil) async throws -> [String: Any] {
            try AccountDesk.object(try await drafts.move(id, to: status, ifVersion: .any, by: account ?? ada).body)
        }
    }

    private static func problem(_ body: () async throws -> Void) async throws -> Problem.Code? {
        do { try await body() } catch let problem as Problem { return problem.code }
        return nil
    }

    @Test("What is answered stands in both databases")
    func made() async throws {
        try await Scene.use { scene in
            try await scene.delivering {
                let (id, made) = try await scene.make { edit in
                    edit.prices[.basic] = .set("10.00")
                    edit.metadata.bpm = .set(140)
                }
                #expect(made["version"] as? Int == 1)
                #expect(made["status"] as? String == "draft")
                #expect((made["metadata"] as? [String: Any])?["bpm"] as? Int == 140)
                #expect(made["sources"] == nil)
                #expect((made["viewer"] as? [String: Any])?["canEdit"] as? Bool == true)
                #expect(try await scene.stack.version("beats", of: id) == 1)
                // Whoever has written waits for the copies, not for a majority that has them, which what is on its way to them waits for.
                #expect(try await eventually { try await scene.stack.count("outbox") + scene.stack.count("beat_content_staged") == 0 })
            }
        }
    }

    @Test("A change begins with content that MongoDB has not got yet, and loses nothing of it")
    func staged() async throws {
        try await Scene.use { scene in
            let (id, made) = try await scene.make { $0.metadata.bpm = .set(140) }
            #expect((made["sources"] as? [String: Any])?["mongo"] as? String == "pending")
            try await scene.edit(id) { $0.metadata.genre = .set("Hip Hop") }
            try await scene.relay.drain(within: .seconds(20))
            let beat = try await scene.edit(id) { $0.metadata.mood = .set("Chill") }
            #expect(beat["version"] as? Int == 3)
            try await scene.relay.drain(within: .seconds(20))
            let read = try AccountDesk.object(try await scene.stack.service().beat(id, for: scene.ada, bypassingCache: true).body)
            let metadata = try #require(read["metadata"] as? [String: Any])
            #expect(metadata["bpm"] as? Int == 140)
            #expect(metadata["genre"] as? String == "Hip Hop")
            #expect(metadata["mood"] as? String == "Chill")
        }
    }

    @Test("A change of the content never begins with the past, nor with nothing, where MongoDB has lost what it had acknowledged")
    func lost() async throws {
        try await Scene.use { scene in
            try await scene.delivering {
                let (id, _) = try await scene.make { $0.metadata.bpm = .set(140) }
                try await scene.edit(id) { $0.metadata.genre = .set("Dub") }
                // What changes the core alone does not make old content look new.
                try await scene.edit(id) { $0.title = .set("Other") }
                try await scene.edit(id) { $0.metadata.mood = .set("Calm") }
                let documents: [BSONDocument?] = [["v": 3, "metadata": ["bpm": .double(140), "genre": "Dub"]], nil]
                for document in documents {
                    try await scene.stack.mongo.run(deadline: Stack.soon) { session in
                        try session.deleteMany("beats", ["_id": .uuid(id.rawValue)])
                        guard var document else { return }
                        document.append("_id", .uuid(id.rawValue))
                        try session.bulkWrite("beats", [.insertOne(document)])
                    }
                    try await scene.edit(id) { $0.description = .set("Slow") }
                    let code = try await Self.problem { try await scene.edit(id) { $0.metadata.bpm = .set(90) } }
                    #expect(code == .storeUnavailable)
                    let version = try await scene.stack.texts("SELECT content_version::text FROM beats WHERE id = '\(id)'")
                    #expect(version == ["4"])
                }
            }
        }
    }

    @Test("Of two editors of one version, one is told; without a version, none loses what the other wrote")
    func editors() async throws {
        try await Scene.use { scene in
            try await scene.delivering {
                let (id, _) = try await scene.make()
                let first = IfMatch("\"1-1q25rmml2qqm0\"")
                try await scene.edit(id, ifVersion: first) { $0.title = .set("One") }
                let code = try await Self.problem { try await scene.edit(id, ifVersion: first) { $0.title = .set("Two") } }
                #expect(code == .versionConflict)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await scene.edit(id) { $0.metadata.bpm = .set(90) } }
                    group.addTask { try await scene.edit(id) { $0.metadata.genre = .set("Soul") } }
                    group.addTask { try await scene.edit(id) { $0.description = .set("Slow") } }
                    try await group.waitForAll()
                }
                let beat = try await scene.edit(id) { $0.metadata.mood = .set("Calm") }
                let metadata = try #require(beat["metadata"] as? [String: Any])
                #expect(metadata["bpm"] as? Int == 90)
                #expect(metadata["genre"] as? String == "Soul")
                #expect(beat["description"] as? String == "Slow")
                #expect(beat["title"] as? String == "One")
                #expect(beat["version"] as? Int == 6)
            }
        }
    }

    @Test("A beat is in lists while it is published, and nowhere once it is deleted")
    func standing() async throws {
        try await Scene.use { scene in
            try await scene.delivering {
                let (id, _) = try await scene.make { $0.metadata.genre = .set("Funk") }
                #expect(try await scene.stack.mongoCount("search_index", ["genreKey": "funk"]) == 0)
                #expect(try await scene.move(id, to: .published)["status"] as? String == "published")
                #expect(try await scene.stack.mongoCount("search_index", ["genreKey": "funk"]) == 1)
                #expect(try await scene.move(id, to: .published)["version"] as? Int == 2)
                #expect(try await scene.move(id, to: .draft)["status"] as? String == "draft")
                #expect(try await scene.stack.mongoCount("search_index", ["genreKey": "funk"]) == 0)
                #expect(try await scene.move(id, to: .archived)["status"] as? String == "archived")
                try await scene.drafts.delete(id, ifVersion: .any, by: scene.ada)
                #expect(try await scene.stack.mongoCount("beats", ["_id": .uuid(id.rawValue), "deleted": true]) == 1)
                let code = try await Self.problem { try await scene.edit(id) { $0.title = .set("Back") } }
                #expect(code == .notFound)
            }
        }
    }

    @Test("Nobody else changes a beat, and a collaborator changes all but its standing")
    func strangers() async throws {
        try await Scene.use { scene in
            try await scene.delivering {
                let (id, _) = try await scene.make()
                #expect(try await Self.problem { try await scene.edit(id, by: scene.bob) { $0.title = .set("Mine") } } == .notFound)
                _ = try await scene.move(id, to: .published)
                #expect(try await Self.problem { try await scene.edit(id, by: scene.bob) { $0.title = .set("Mine") } } == .forbidden)
                try await scene.stack.owner.run(
                    """
                    INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by, accepted_at)
                    VALUES ('\(id)', '\(scene.bob.id)', 'collaborator', '\(scene.ada.id)', now())
                    """)
                let beat = try await scene.edit(id, by: scene.bob) { $0.metadata.bpm = .set(80) }
                #expect((beat["metadata"] as? [String: Any])?["bpm"] as? Int == 80)
                let code = try await Self.problem { try await scene.edit(id, by: scene.bob) { $0.prices[.basic] = .set("0.01") } }
                #expect(code == .forbidden)
                #expect(try await Self.problem { _ = try await scene.move(id, to: .draft, by: scene.bob) } == .forbidden)
                #expect(try await Self.problem { try await scene.drafts.delete(id, ifVersion: .any, by: scene.bob) } == .forbidden)
            }
        }
    }

    @Test("The history names every change of the content, also of those that were delivered together")
    func history() async throws {
        try await Scene.use { scene in
            let (id, _) = try await scene.make()
            for bpm in [90.0, 91, 92] {
                try await scene.edit(id) { edit in
                    edit.metadata.bpm = .set(bpm)
                    edit.changes = "Now \(Int(bpm))"
                }
            }
            try await scene.edit(id) { $0.title = .set("Only the core") }
            try await scene.relay.drain(within: .seconds(20))
            let changes = try await scene.drafts.changes(of: id, from: .page(1), limit: 10, for: scene.ada)
            #expect(changes.map(\.v) == [4, 3, 2, 1])
            #expect(changes.map(\.text) == ["Now 92", "Now 91", "Now 90", "Created"])
            #expect(changes.allSatisfy { $0.by == scene.ada.id.description })
            let cursor = BeatDraftService.cursor(after: changes[1], of: id)
            let rest = try await scene.drafts.changes(of: id, from: .after(cursor), limit: 10, for: scene.ada)
            #expect(rest.map(\.v) == [2, 1])
        }
    }

    @Test("A beat with shares is published once all are accepted and make the whole")
    func splits() async throws {
        try await Scene.use { scene in
            let store = BeatSplitStore(postgres: scene.desk.postgres, timeout: .seconds(2))
            try await scene.delivering {
                let (id, _) = try await scene.make()
                let halves = [scene.ada, scene.bob].map { BeatSplit.Offer(user: $0.id, share: .init(hundredths: 50_00)) }
                let (offered, accepted) = (
                    AuditEvent("beat_splits_offered", .permission, .notice, actor: scene.ada.id),
                    AuditEvent("beat_split_accepted", .permission, .notice, actor: scene.bob.id)
                )
                try await store.replace(halves, of: id, by: scene.ada, filing: offered)
                #expect(try await Self.problem { _ = try await scene.move(id, to: .published) } == .conflict)
                func accept(_ share: Int64) async throws(Problem) -> Bool {
                    try await store.accept(.init(hundredths: share), of: id, for: scene.bob, filing: accepted)
                }
                #expect(try await Self.problem { _ = try await accept(60_00) } == .conflict)
                for _ in 0..<2 {
                    #expect(try await accept(50_00))
                    #expect(try await scene.stack.count("audit_log WHERE action = 'beat_split_accepted'") == 1)
                }
                #expect(try await scene.move(id, to: .published)["status"] as? String == "published")
                #expect(try await Self.problem { try await store.replace([], of: id, by: scene.ada, filing: offered) } == .conflict)
                #expect(try await store.splits(of: id, for: scene.bob).map(\.user) == [scene.bob.id])
            }
        }
    }

    @Test("The list of one's own beats has drafts too, keeps its place, and holds nobody else's")
    func own() async throws {
        try await Scene.use { scene in
            try await scene.delivering {
                for title in ["A", "B", "C"] { _ = try await scene.make(title) }
                let page = try await scene.drafts.own(PageRequest(limit: 2, position: .page(1)), .draft, by: scene.ada)
                #expect(page.beats.count == 2)
                #expect(page.total.count == 3)
                let next = try #require(page.next)
                let rest = try await scene.drafts.own(PageRequest(limit: 2, position: .after(next)), .draft, by: scene.ada)
                #expect(try rest.beats.map { try AccountDesk.object($0.body)["title"] as? String } == ["A"])
                #expect(rest.next == nil)
                #expect(try await scene.drafts.own(PageRequest(limit: 2, position: .page(1)), .published, by: scene.ada).beats.isEmpty)
                #expect(try await scene.drafts.own(PageRequest(limit: 2, position: .page(1)), nil, by: scene.bob).beats.isEmpty)
            }
        }
    }
}
