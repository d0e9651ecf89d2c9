import Foundation
import TestSupport
import Testing

/// What making a beat gives a right to, and what takes the role of a creator besides.
@Suite("A creator whose role was taken away", .timeLimit(.minutes(5)))
struct BeatAuthorityTests {
    /// Ada's draft, on which Bob works with her, and Ada a creator no more.
    private static func use(_ body: (KeyScene, _ beat: String) async throws -> Void) async throws {
        try await KeyScene.use { scene in
            let beat = "/api/beats/\(try KeyScene.id(try await scene.post()))"
            for (path, bearer, invitation) in [
                ("\(beat)/permissions", scene.ada, #"{"user":"bob","permission":"collaborator"}"#),
                ("\(beat)/permissions/accept", scene.bob, nil),
            ] {
                let answer = try await scene.gateway.send("POST", path, bearer: bearer, body: invitation)
                try #require((200...201).contains(answer.status), "\(answer.body)")
            }
            #expect(try await role(scene, "DELETE", "/creator") == 200)
            try await body(scene, beat)
        }
    }

    private static func role(_ scene: KeyScene, _ method: String, _ path: String, _ body: String? = nil) async throws -> Int {
        let ada = try #require(try await scene.stack.texts("SELECT id::text FROM users WHERE username = 'ada'").first)
        return try await scene.gateway.send(method, "/api/admin/users/\(ada)/roles\(path)", bearer: scene.root, body: body).status
    }

    private static let changes = [
        ("PATCH", "", #"{"title":"Mine"}"#), ("PUT", "", #"{"title":"Mine"}"#), ("PATCH", "", #"{"title":"Summer Vibes"}"#),
        ("PUT", "/splits", #"{"splits":[]}"#), ("POST", "/permissions", #"{"user":"cleo","permission":"viewer"}"#),
        ("POST", "/publish", nil),
    ]

    @Test("They neither change, share, price nor publish what they made, until the role is given back")
    func refused() async throws {
        try await Self.use { scene, beat in
            for (method, path, body) in Self.changes {
                let answer = try await scene.gateway.send(method, beat + path, bearer: scene.ada, body: body)
                #expect(answer.status == 403 && answer.code == "forbidden", "\(method) \(path): \(answer.status) \(answer.body)")
            }
            let own = try await scene.gateway.send("GET", beat, bearer: scene.ada)
            #expect(own.body.contains(#""canEdit":false"#) && own.body.contains(#""title":"Summer Vibes""#), "\(own.body)")
            #expect(try await Self.role(scene, "POST", "", #"{"role":"creator"}"#) == 200)
            for (method, path, body) in Self.changes {
                let answer = try await scene.gateway.send(method, beat + path, bearer: scene.ada, body: body)
                #expect((200...201).contains(answer.status), "\(method) \(path): \(answer.status) \(answer.body)")
            }
        }
    }

    @Test("They still read it with its history, take it back, archive and delete it, and a collaborator works on")
    func kept() async throws {
        try await Self.use { scene, beat in
            // Public already when the role went.
            try await scene.stack.owner.run("UPDATE beats SET status = 'published', published_at = now()")
            #expect(try await scene.gateway.send("PATCH", beat, bearer: scene.bob, body: #"{"metadata":{"bpm":90}}"#).status == 200)
            for (method, path) in [
                ("GET", ""), ("GET", "/versions"), ("GET", "/splits"), ("GET", "/permissions"), ("POST", "/unpublish"),
                ("POST", "/archive"),
            ] {
                let answer = try await scene.gateway.send(method, beat + path, bearer: scene.ada)
                #expect(answer.status == 200, "\(method) \(path): \(answer.status) \(answer.body)")
            }
            let stale = try await scene.gateway.send("DELETE", beat, bearer: scene.ada, fields: ["If-Match": #""1-0""#])
            #expect(stale.status == 412, "who made it is told that it has moved: \(stale.body)")
            #expect(try await scene.gateway.send("DELETE", beat, bearer: scene.ada).status == 204)
        }
    }
}
