import Contract
import DataPlane
import Foundation
import NIOCore
import PostgresClient
import RedisClient
import TestSupport
import Testing

@testable import Beats

/// Beats that are shared before they are everybody's, over the real databases.
@Suite("Shared beats", .timeLimit(.minutes(5)))
struct BeatPermissionTests {
    /// Ada, who makes beats, others, and a draft of Ada's.
    private struct Scene {
        let stack: Stack
        let desk: AccountDesk
        let permissions: BeatPermissionService
        let ada: Account
        let bob: Account
        let eve: Account
        let draft: EntityID

        static func use(_ body: (Scene) async throws -> Void) async throws {
            try await Stack.use { stack in
                let desk = try await AccountDesk(stack)
                let accounts = try await ["ada", "bob", "eve"].asyncMap { name in
                    let roles: Roles = name == "ada" ? [.user, .creator] : .user
                    return Account(
                        id: try await desk.session.makeAccount(name, roles: roles.all.map(\.rawValue)), sessionID: nil, roles: roles,
                        isVerified: true, hasSecondFactor: false)
                }
                let scene = Scene(
                    stack: stack, desk: desk,
                    permissions: BeatPermissionService(postgres: desk.postgres, accounts: desk.users), ada: accounts[0],
                    bob: accounts[1], eve: accounts[2], draft: .now)
                try await scene.makeBeat(scene.draft, status: "draft")
                try await body(scene)
            }
        }

        func makeBeat(_ id: EntityID, status: String) async throws {
            try await stack.owner.run(
                """
                INSERT INTO beats (id, creator_id, title, status, published_at)
                VALUES ('\(id)', '\(ada.id)', 'Untold', '\(status)', CASE WHEN '\(status)' = 'published' THEN now() END)
                """)
        }

        func invite(_ name: String, as level: BeatPermission.Level = .viewer, by account: Account? = nil) async throws(Problem)
            -> BeatPermission
        {
            try await permissions.invite(name, as: level, to: draft, by: account ?? ada, caller: SessionDesk.caller)
        }

        func accept(_ account: Account) async throws(Problem) -> BeatPermission {
            try await permissions.accept(draft, for: account, caller: SessionDesk.caller)
        }

        func remove(_ person: Account, by account: Account) async throws(Problem) {
            try await permissions.remove(person.id, from: draft, by: account, caller: SessionDesk.caller)
        }

        /// What an account finds under the draft's id, or under another's; nil where it finds nothing.
        func read(_ account: Account, _ id: EntityID? = nil) async throws -> [String: Any]? {
            do throws(Problem) {
                let lookup = try await desk.beats.beat(id ?? draft, for: account, bypassingCache: false)
                return try Self.object(lookup.body.bytes)
            } catch {
                #expect(error.code == .notFound)
                return nil
            }
        }

        static func object(_ bytes: ByteBuffer?) throws(Problem) -> [String: Any] {
            let data = Data((bytes ?? ByteBuffer()).readableBytesView)
            guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else { throw .unexpected }
            return object
        }

        func canEdit(_ account: Account) async throws -> Bool? {
            (try await read(account)?["viewer"] as? [String: Any])?["canEdit"] as? Bool
        }
    }

    @Test("An invitation counts for nothing until it is accepted, and then for what it says", arguments: ["viewer", "collaborator"])
    func accepting(word: String) async throws {
        try await Scene.use { scene in
            let level = try #require(BeatPermission.Level(rawValue: word))
            let offered = try await scene.invite("bob", as: level)
            #expect(offered.acceptedAt == nil && offered.person.username == "bob" && offered.grantedBy.username == "ada")
            #expect(offered.title == "Untold")
            #expect(try await scene.read(scene.bob) == nil)
            let waiting = try await scene.permissions.page(PageRequest(limit: 20, position: .page(1)), for: scene.bob)
            #expect(waiting.rows.map(\.beat) == [scene.draft] && waiting.total == .init(1))
            #expect(waiting.rows.first?.title == nil, "an unpublished beat's title is not for who has not accepted")

            let accepted = try await scene.accept(scene.bob)
            #expect(accepted.acceptedAt != nil && accepted.title == "Untold" && accepted.level == level)
            #expect(try await scene.accept(scene.bob) == accepted, "accepting again changes nothing")
            let beat = try #require(try await scene.read(scene.bob))
            #expect(beat["title"] as? String == "Untold" && beat["status"] as? String == "draft")
            #expect(try await scene.canEdit(scene.bob) == (level == .collaborator))
            #expect(try await scene.canEdit(scene.ada) == true)
            #expect(try await scene.read(scene.eve) == nil)
        }
    }

    @Test("Only the owner invites and lists, and nobody else learns that there is a beat")
    func owner() async throws {
        try await Scene.use { scene in
            _ = try await scene.invite("bob", as: .collaborator)
            #expect(await problem { () throws(Problem) in try await scene.invite("eve", by: scene.eve) } == .notFound)
            #expect(await problem { () throws(Problem) in try await scene.invite("nobody", by: scene.bob) } == .notFound)
            #expect(await problem { () throws(Problem) in try await scene.accept(scene.eve) } == .notFound)
            _ = try await scene.accept(scene.bob)
            for account in [scene.bob, scene.eve] {
                let expected: Problem.Code = account == scene.bob ? .forbidden : .notFound
                #expect(await problem { () throws(Problem) in try await scene.invite("eve", by: account) } == expected)
                #expect(
                    await problem { () throws(Problem) in try await scene.permissions.permissions(of: scene.draft, for: account) }
                        == expected)
            }
            let listed = try await scene.permissions.permissions(of: scene.draft, for: scene.ada)
            #expect(listed.map(\.person.id) == [scene.bob.id])
        }
    }

    @Test("What makes no sense is no invitation")
    func refusals() async throws {
        try await Scene.use { scene in
            for name in ["ada", scene.ada.id.description, "nobody", EntityID.now.description] {
                #expect(await problem { () throws(Problem) in try await scene.invite(name) } == .invalidRequest)
            }
            _ = try await scene.invite(scene.bob.id.description)
            #expect(await problem { () throws(Problem) in try await scene.invite("bob", as: .collaborator) } == .conflict)
            try await scene.stack.owner.run(
                """
                WITH made AS (
                    INSERT INTO users (id, username) SELECT gen_random_uuid(), 'guest-' || n FROM generate_series(1, 99) AS n RETURNING id
                )
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by)
                SELECT '\(scene.draft)', id, 'viewer', '\(scene.ada.id)' FROM made
                """)
            #expect(await problem { () throws(Problem) in try await scene.invite("eve") } == .conflict)
            #expect(try await scene.permissions.permissions(of: scene.draft, for: scene.ada).count == 100)
            try await scene.remove(scene.bob, by: scene.ada)
            _ = try await scene.invite("eve")
        }
    }

    @Test("The owner removes anybody, everybody else only themselves, and it holds at once")
    func removing() async throws {
        try await Scene.use { scene in
            for account in [scene.bob, scene.eve] {
                _ = try await scene.invite(account == scene.bob ? "bob" : "eve")
                _ = try await scene.accept(account)
            }
            #expect(await problem { () throws(Problem) in try await scene.remove(scene.eve, by: scene.bob) } == .notFound)
            #expect(try await scene.read(scene.eve) != nil)
            try await scene.remove(scene.eve, by: scene.ada)
            #expect(try await scene.read(scene.eve) == nil)
            try await scene.remove(scene.bob, by: scene.bob)
            #expect(try await scene.read(scene.bob) == nil)
            #expect(await problem { () throws(Problem) in try await scene.remove(scene.bob, by: scene.bob) } == .notFound)
            let actions = try await scene.stack.texts("SELECT action FROM audit_log WHERE target_id = '\(scene.draft)' ORDER BY id")
            #expect(
                actions == [
                    "beat_permission_offered", "beat_permission_accepted", "beat_permission_offered", "beat_permission_accepted",
                    "beat_permission_removed", "beat_permission_removed",
                ])
        }
    }

    @Test("A beat that is not there for its reader has no title in the list either", arguments: ["suspended", "deleted"])
    func goneCreator(status: String) async throws {
        try await Scene.use { scene in
            _ = try await scene.invite("bob", as: .collaborator)
            _ = try await scene.accept(scene.bob)
            let page = PageRequest(limit: 20, position: .page(1))
            #expect(try await scene.permissions.page(page, for: scene.bob).rows.map(\.title) == ["Untold"])
            try await scene.stack.owner.run(
                """
                UPDATE users SET status = '\(status)', deleted_at = CASE WHEN '\(status)' = 'deleted' THEN now() END
                WHERE id = '\(scene.ada.id)'
                """)
            #expect(try await scene.read(scene.bob) == nil)
            let listed = try await scene.permissions.page(page, for: scene.bob)
            #expect(listed.rows.map(\.beat) == [scene.draft] && listed.rows.map(\.title) == [nil])
            #expect(listed.rows.map(\.grantedBy.username) == [nil])
        }
    }

    @Test("An unpublished beat that somebody reads is in no cache")
    func privacy() async throws {
        try await Scene.use { scene in
            #expect(try await scene.read(scene.ada) != nil)
            #expect(
                await problem { () throws(Problem) in try await scene.desk.beats.beat(scene.draft, bypassingCache: false) } == .notFound)
            #expect(try await scene.read(scene.ada) != nil, "what is known to be nobody's business is still the owner's")
            let keys = try await scene.stack.redis.send(RedisCommand("KEYS", "*"), deadline: Stack.soon).elements ?? []
            for key in keys.compactMap(\.text) {
                let value = try await scene.stack.redis.send(RedisCommand("GET", .text(key)), deadline: Stack.soon)
                #expect(!String(decoding: value.bytes ?? [], as: UTF8.self).contains("Untold"), "\(key)")
            }
        }
    }

    @Test("A published beat says to each account what it is to it, and to the others not a byte more")
    func viewer() async throws {
        try await Scene.use { scene in
            let id = EntityID.now
            try await scene.makeBeat(id, status: "published")
            let before = try await scene.desk.beats.beat(id, bypassingCache: false).body
            try await scene.stack.owner.run("INSERT INTO favorites (user_id, beat_id) VALUES ('\(scene.bob.id)', '\(id)')")
            for (account, isFavorite, canEdit) in [(scene.ada, false, true), (scene.bob, true, false), (scene.eve, false, false)] {
                let beat = try #require(try await scene.read(account, id))
                let viewer = try #require(beat["viewer"] as? [String: Any])
                #expect(viewer["isFavorite"] as? Bool == isFavorite && viewer["canEdit"] as? Bool == canEdit)
                #expect((viewer["licenses"] as? [Any])?.isEmpty == true)
                #expect(Set(beat.keys) == Set(try Scene.object(before.bytes).keys).union(["viewer"]))
            }
            let after = try await scene.desk.beats.beat(id, bypassingCache: false).body
            #expect(after.bytes == before.bytes && after.etag == before.etag)
        }
    }

    @Test("The list of what an account was given keeps its place from page to page")
    func paging() async throws {
        try await Scene.use { scene in
            try await scene.stack.owner.run(
                """
                WITH made AS (
                    INSERT INTO beats (id, creator_id, title) SELECT gen_random_uuid(), '\(scene.ada.id)', 'b' FROM generate_series(1, 25)
                    RETURNING id
                )
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by) SELECT id, '\(scene.bob.id)', 'viewer',
                '\(scene.ada.id)' FROM made
                """)
            var (found, position, pages): ([EntityID], PageRequest.Position, Int) = ([], .page(1), 0)
            while true {
                let page = try await scene.permissions.page(PageRequest(limit: 10, position: position), for: scene.bob)
                found += page.rows.map(\.beat)
                pages += 1
                #expect(page.total == .init(25))
                guard let next = page.next else { break }
                position = .after(next)
            }
            #expect(pages == 3 && found.count == 25 && Set(found).count == 25)
            let second = try await scene.permissions.page(PageRequest(limit: 10, position: .page(2)), for: scene.bob)
            #expect(second.rows.map(\.beat) == Array(found[10..<20]))
            let strange = Cursor(order: 99, value: .absent, id: .now)
            #expect(
                await problem { () throws(Problem) in
                    try await scene.permissions.page(PageRequest(limit: 10, position: .after(strange)), for: scene.bob)
                } == .invalidCursor)
        }
    }
}

extension Sequence {
    fileprivate func asyncMap<Mapped>(_ transform: (Element) async throws -> Mapped) async rethrows -> [Mapped] {
        var mapped: [Mapped] = []
        for element in self { mapped.append(try await transform(element)) }
        return mapped
    }
}
