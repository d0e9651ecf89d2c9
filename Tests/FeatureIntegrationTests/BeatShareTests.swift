import Foundation
import TestSupport
import Testing

/// Who sees, takes and gives up shares of what a beat earns, over HTTP.
@Suite("Shares of a beat", .timeLimit(.minutes(5)))
struct BeatShareTests {
    /// A draft of Ada's, of which Bob and Cleo are offered shares.
    private struct Scene {
        let keys: KeyScene
        let beat: String
        let ids: [String: String]

        static func use(_ body: (Scene) async throws -> Void) async throws {
            try await KeyScene.use { keys in
                let beat = "/api/beats/\(try KeyScene.id(try await keys.post()))"
                let pairs = try await keys.stack.texts("SELECT username || ' ' || id FROM users").map { $0.split(separator: " ") }
                let scene = Scene(
                    keys: keys, beat: beat, ids: Dictionary(uniqueKeysWithValues: pairs.map { (String($0[0]), String($0[1])) }))
                #expect(try await scene.offer(["ada": 40, "bob": 35, "cleo": 25]).status == 200)
                try await body(scene)
            }
        }

        func send(_ method: String, _ path: String, by bearer: String, _ body: String? = nil) async throws -> RunningGateway.Answer {
            try await keys.gateway.send(method, path, bearer: bearer, body: body)
        }

        func id(_ name: String) throws -> String { try #require(ids[name]) }

        func offer(_ shares: [String: Int]) async throws -> RunningGateway.Answer {
            let offers = try shares.map { #"{"userId":"\#(try id($0.key))","share":\#($0.value)}"# }.joined(separator: ",")
            return try await send("PUT", "\(beat)/splits", by: keys.ada, #"{"splits":[\#(offers)]}"#)
        }

        func accept(_ share: Int, by bearer: String) async throws {
            let answer = try await send("POST", "\(beat)/splits/accept", by: bearer, #"{"share":\#(share)}"#)
            try #require(answer.status == 200, "\(answer.body)")
        }

        /// Suspends or deletes an account as those do who may.
        func end(_ name: String, _ standing: String, by bearer: String) async throws {
            let answer =
                standing == "suspended"
                ? try await send("POST", "/api/admin/users/\(try id(name))/suspend", by: keys.root, #"{"reason":"spam"}"#)
                : try await send("DELETE", "/api/users/me", by: bearer, #"{"password":"\#(SessionDesk.password)"}"#)
            try #require((200...204).contains(answer.status), "\(answer.body)")
        }

        /// Who is listed with what to whom: `bob 35`, and `- 35` where the holder is not to be seen.
        func listed(to bearer: String) async throws -> [String] {
            let answer = try await send("GET", "\(beat)/splits", by: bearer)
            let object = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
            let items = try #require(object["items"] as? [[String: Any]], "\(answer.body)")
            #expect((object["page"] as? [String: Any])?["total"] as? Int == items.count)
            return items.map { "\($0["username"] as? String ?? "-") \(($0["share"] as? NSNumber)?.intValue ?? 0)" }
        }

        func publish() async throws -> RunningGateway.Answer { try await send("POST", "\(beat)/publish", by: keys.ada) }
    }

    @Test("The creator sees every share, whatever became of who holds it; anybody else their own", arguments: ["suspended", "deleted"])
    func everyShare(standing: String) async throws {
        try await Scene.use { scene in
            #expect(try await scene.listed(to: scene.keys.ada) == ["ada 40", "bob 35", "cleo 25"])
            #expect(try await scene.listed(to: scene.keys.cleo) == ["cleo 25"])
            try await scene.end("bob", standing, by: scene.keys.bob)
            #expect(try await scene.listed(to: scene.keys.ada) == ["ada 40", "- 35", "cleo 25"])
            #expect(try await scene.listed(to: scene.keys.cleo) == ["cleo 25"])
        }
    }

    @Test("A beat is not published while a deleted account holds a share of it; a suspended one is in nobody's way")
    func goneHolders() async throws {
        try await Scene.use { scene in
            try await scene.accept(35, by: scene.keys.bob)
            try await scene.accept(25, by: scene.keys.cleo)
            try await scene.end("bob", "suspended", by: scene.keys.bob)
            #expect(try await scene.publish().status == 200)
            #expect(try await scene.send("POST", "\(scene.beat)/unpublish", by: scene.keys.ada).status == 200)
            try await scene.end("cleo", "deleted", by: scene.keys.cleo)
            let refused = try await scene.publish()
            let deleted = try scene.id("cleo")
            #expect(refused.status == 409 && refused.body.contains(deleted), "\(refused.body)")
            let suspended = try scene.id("bob")
            #expect(!refused.body.contains(suspended))
            // The way out: her share goes to somebody who is there, and his stays as it was agreed.
            #expect(try await scene.offer(["ada": 65, "bob": 35]).status == 200)
            #expect(try await scene.publish().status == 200)
        }
    }

    @Test("No share is offered to an account that is not there to be seen", arguments: ["suspended", "deleted"])
    func strangers(standing: String) async throws {
        try await Scene.use { scene in
            #expect(try await scene.offer(["ada": 100]).status == 200)
            try await scene.end("bob", standing, by: scene.keys.bob)
            let refused = try await scene.offer(["ada": 50, "bob": 50])
            #expect(refused.status == 400 && refused.body.contains("not there"), "\(refused.body)")
            #expect(try await scene.listed(to: scene.keys.ada) == ["ada 100"])
        }
    }

    @Test("An open offer is declined by whom it is for or taken back by whose beat it is, an accepted one by neither")
    func ending() async throws {
        try await Scene.use { scene in
            let (bob, cleo) = ("\(scene.beat)/splits/\(try scene.id("bob"))", "\(scene.beat)/splits/\(try scene.id("cleo"))")
            #expect(try await scene.send("DELETE", bob, by: scene.keys.cleo).status == 404)
            #expect(try await scene.send("DELETE", bob, by: scene.keys.root).status == 404)
            #expect(try await scene.send("DELETE", bob, by: scene.keys.bob).status == 204)
            #expect(try await scene.send("DELETE", bob, by: scene.keys.bob).status == 404)
            #expect(try await scene.listed(to: scene.keys.ada) == ["ada 40", "cleo 25"])
            try await scene.accept(25, by: scene.keys.cleo)
            for bearer in [scene.keys.cleo, scene.keys.ada] {
                #expect(try await scene.send("DELETE", cleo, by: bearer).status == 409)
            }
            #expect(try await scene.publish().status == 409, "what is left does not make the whole")
            #expect(try await scene.offer(["ada": 40, "bob": 35, "cleo": 25]).status == 200)
            #expect(try await scene.send("DELETE", bob, by: scene.keys.ada).status == 204)
            let filed = try await scene.keys.stack.count("audit_log WHERE action = 'beat_split_removed'")
            #expect(filed == 2)
        }
    }

    @Test("Shares of a beat that is not there, or not to be seen, are not there")
    func hidden() async throws {
        try await Scene.use { scene throws in
            let nothing = "/api/beats/01a20000-0000-7000-8000-000000000000/splits"
            #expect(try await scene.send("GET", nothing, by: scene.keys.ada).status == 404)
            #expect(try await scene.offer(["ada": 100]).status == 200)
            #expect(try await scene.send("GET", "\(scene.beat)/splits", by: scene.keys.cleo).status == 404)
            #expect(try await scene.publish().status == 200)
            #expect(try await scene.listed(to: scene.keys.cleo) == [])
            #expect(try await scene.send("DELETE", scene.beat, by: scene.keys.ada).status == 204)
            for bearer in [scene.keys.ada, scene.keys.cleo] {
                #expect(try await scene.send("GET", "\(scene.beat)/splits", by: bearer).status == 404)
            }
        }
    }

    @Test("One's own shares are found page by page, by the beat's id alone until the beat is there for the reader")
    func own() async throws {
        try await Scene.use { scene in
            func page(_ query: String) async throws -> (items: [[String: Any]], next: String?, total: Int?) {
                let answer = try await scene.send("GET", "/api/users/me/splits?\(query)", by: scene.keys.bob)
                let object = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
                let page = object["page"] as? [String: Any]
                return (
                    try #require(object["items"] as? [[String: Any]], "\(answer.body)"), page?["next"] as? String, page?["total"] as? Int
                )
            }
            try await scene.keys.stack.owner.run(
                """
                WITH made AS (
                    INSERT INTO beats (id, creator_id, title)
                    SELECT gen_random_uuid(), '\(try scene.id("ada"))', 'b' FROM generate_series(1, 4) RETURNING id
                )
                INSERT INTO beat_splits (beat_id, user_id, share, offered_by, created_at)
                SELECT id, '\(try scene.id("bob"))', 1, '\(try scene.id("ada"))', now() - interval '1 day' FROM made
                """)
            var (found, query): ([String], String?) = ([], "limit=2")
            while let asked = query {
                let page = try await page(asked)
                #expect(page.total == 5)
                found += page.items.compactMap { ($0["beat"] as? [String: Any])?["id"] as? String }
                query = page.next.map { "limit=2&cursor=\($0)" }
            }
            #expect(found.count == 5 && Set(found).count == 5)
            #expect(scene.beat.hasSuffix(found.first ?? "-"), "the newest first")

            let offer = try #require(try await page("limit=1").items.first)
            #expect((offer["share"] as? NSNumber)?.intValue == 35 && offer["isAccepted"] as? Bool == false)
            #expect((offer["offeredBy"] as? [String: Any])?["username"] as? String == "ada")
            #expect((offer["beat"] as? [String: Any])?["title"] == nil, "a draft's title is not for who has not been let in")
            try await scene.accept(35, by: scene.keys.bob)
            try await scene.accept(25, by: scene.keys.cleo)
            #expect(try await scene.publish().status == 200)
            let held = try #require(try await page("limit=1").items.first)
            #expect(held["isAccepted"] as? Bool == true)
            #expect((held["beat"] as? [String: Any])?["title"] as? String == "Summer Vibes")
        }
    }
}
