import Contract
import DataPlane
import Gateway
import HTTPAPI
import NIOHTTP1
import PostgresClient
import Synchronization
import TestSupport
import Testing

/// That a request was carried out is known from the database alone, and is not done again: with claims as a gateway leaves them that dies
/// between its COMMIT and the answer.
@Suite("Requests that were carried out and not answered", .timeLimit(.minutes(5)))
struct IdempotencyMarkTests {
    private struct Request {
        var method = "POST"
        let path: String
        let bearer: String
        var body: String?
    }

    /// Something that can be asked for with a key, and taken back.
    private struct Deed {
        /// Of the route, as the table names it.
        let name: String
        /// What has to be there first.
        var before: [Request] = []
        let request: Request
        /// What takes it back.
        let undo: [Request]
        /// Of the answer, once that is done.
        let status: Int
        let contains: String
    }

    /// All that there is to do with keys, in an order in which it can be done; and the path of the beat that it is done to.
    private static func deeds(_ scene: KeyScene) async throws -> (beat: String, [Deed]) {
        let made = try await scene.post(key: "beat", body: #"{"title":"Summer Vibes","licenseTypes":{"basic":10.00}}"#)
        let beat = "/api/beats/\(try KeyScene.id(made))"
        func id(_ name: String) async throws -> String {
            try #require(try await scene.stack.texts("SELECT id::text FROM users WHERE username = '\(name)'").first)
        }
        let (ada, bob, cleo) = (try await id("ada"), try await id("bob"), try await id("cleo"))
        let (publish, unpublish) = (
            Request(path: "\(beat)/publish", bearer: scene.ada), Request(path: "\(beat)/unpublish", bearer: scene.ada)
        )
        let invite = Request(path: "\(beat)/permissions", bearer: scene.ada, body: #"{"user":"bob","permission":"viewer"}"#)
        let uninvite = Request(method: "DELETE", path: "\(beat)/permissions/\(bob)", bearer: scene.ada)
        func offer(_ shares: String) -> Request {
            Request(method: "PUT", path: "\(beat)/splits", bearer: scene.ada, body: #"{"splits":[\#(shares)]}"#)
        }
        let alone = offer(#"{"userId":"\#(ada)","share":100.00}"#)
        let halves = offer(#"{"userId":"\#(ada)","share":50.00},{"userId":"\#(bob)","share":50.00}"#)
        let users = "/api/admin/users"
        let suspend = Request(path: "\(users)/\(bob)/suspend", bearer: scene.root, body: #"{"reason":"spam"}"#)
        let unsuspend = Request(path: "\(users)/\(bob)/unsuspend", bearer: scene.root, body: "{}")
        let deeds = [
            Deed(
                name: "/api/beats/{id}/publish", request: publish, undo: [unpublish], status: 200, contains: #""status":"draft""#),
            Deed(
                name: "/api/beats/{id}/unpublish", before: [publish], request: unpublish, undo: [publish], status: 200,
                contains: #""status":"published""#),
            Deed(
                name: "/api/beats/{id}/archive", request: Request(path: "\(beat)/archive", bearer: scene.ada), undo: [unpublish],
                status: 200, contains: #""status":"draft""#),
            Deed(name: "/api/beats/{id}/permissions", request: invite, undo: [uninvite], status: 404, contains: "no such invitation"),
            Deed(
                name: "/api/beats/{id}/permissions/accept", before: [invite],
                request: Request(path: "\(beat)/permissions/accept", bearer: scene.bob), undo: [uninvite, invite], status: 200,
                contains: #""status":"invited""#),
            Deed(
                name: "/api/beats/{id}/splits/accept", before: [halves],
                request: Request(path: "\(beat)/splits/accept", bearer: scene.bob, body: #"{"share":50.00}"#), undo: [alone, halves],
                status: 200, contains: #""share":50.00,"isAccepted":false"#),
            Deed(name: "\(users)/{id}/suspend", request: suspend, undo: [unsuspend], status: 200, contains: #""status":"active""#),
            Deed(
                name: "\(users)/{id}/unsuspend", before: [suspend], request: unsuspend, undo: [suspend], status: 200,
                contains: #""status":"suspended""#),
            Deed(
                name: "\(users)/{id}/roles",
                request: Request(path: "\(users)/\(bob)/roles", bearer: scene.root, body: #"{"role":"brand"}"#),
                undo: [Request(method: "DELETE", path: "\(users)/\(bob)/roles/brand", bearer: scene.root)], status: 200,
                contains: #""roles":["user","creator"]"#),
            Deed(
                name: "/api/users/me/creator", request: Request(path: "/api/users/me/creator", bearer: scene.cleo, body: "{}"),
                undo: [Request(method: "DELETE", path: "\(users)/\(cleo)/roles/creator", bearer: scene.root)], status: 200,
                contains: #""isCreator":false"#),
        ]
        return (beat, deeds)
    }

    /// Everything that a deed changes, and what accounts for it.
    private static func state(_ stack: Stack) async throws -> [String] {
        try await stack.texts(
            """
            SELECT concat_ws(' ', 'beat', id, status, version) FROM beats
            UNION ALL SELECT concat_ws(' ', 'permission', user_id, accepted_at) FROM beat_permissions
            UNION ALL SELECT concat_ws(' ', 'share', user_id, share, accepted_at) FROM beat_splits
            UNION ALL SELECT concat_ws(' ', 'account', id, status, is_creator, version) FROM users
            UNION ALL SELECT concat_ws(' ', 'role', user_id, role) FROM user_roles
            UNION ALL SELECT concat_ws(' ', action, count(*)) FROM audit_log GROUP BY action
            ORDER BY 1
            """)
    }

    @Test("What was carried out is not done again, whether it stands or was taken back; the answer is how things are now")
    func deeds() async throws {
        try await KeyScene.use { scene in
            @Sendable func send(_ request: Request, key: String? = nil, ifMatch: String? = nil) async throws -> RunningGateway.Answer {
                let fields = ["Idempotency-Key": key, "If-Match": ifMatch].compactMapValues { $0 }
                return try await scene.gateway.send(
                    request.method, request.path, bearer: request.bearer, fields: fields, body: request.body)
            }
            @Sendable func succeed(_ request: Request) async throws {
                let answer = try await send(request)
                try #require((200...204).contains(answer.status), "\(request.method) \(request.path): \(answer.body)")
            }
            /// Sends a request again that nobody has answered: nothing changes, and from then on the answer is the same.
            @Sendable func resume(_ request: Request, ifMatch: String?) async throws -> RunningGateway.Answer {
                let before = try await Self.state(scene.stack)
                let resumed = try await send(request, key: "key", ifMatch: ifMatch)
                let replayed = try await send(request, key: "key", ifMatch: ifMatch)
                #expect(try await Self.state(scene.stack) == before, "\(request.path)")
                #expect(!resumed.isReplayed && replayed.isReplayed, "\(request.path): \(resumed.body)")
                #expect(replayed.status == resumed.status && replayed.body == resumed.body, "\(request.path): \(replayed.body)")
                return resumed
            }
            let (beat, deeds) = try await Self.deeds(scene)
            for deed in deeds {
                for request in deed.before { try await succeed(request) }
                try await scene.stack.owner.run("TRUNCATE idempotency_keys")
                // Matches no longer, once something is done to the beat.
                let version = try await scene.gateway.send("GET", beat, bearer: scene.ada).fields.first(name: "ETag")
                let first = try await send(deed.request, key: "key", ifMatch: version)
                #expect((200...201).contains(first.status), "\(deed.name): \(first.body)")
                #expect(try await scene.stack.count("idempotency_keys WHERE carried_out_at IS NOT NULL") == 1, "\(deed.name)")
                try await scene.unsettle()
                #expect(try await resume(deed.request, ifMatch: version).status == first.status, "\(deed.name)")
                try await scene.unsettle()
                for request in deed.undo { try await succeed(request) }
                let resumed = try await resume(deed.request, ifMatch: version)
                #expect(resumed.status == deed.status && resumed.body.contains(deed.contains), "\(deed.name): \(resumed.body)")
            }
            let honoured = scene.gateway.service.routes.filter { $0.idempotency != .ignored }.map(\.path)
            // Of creating, `IdempotencyTests` tell.
            #expect(Set(deeds.map(\.name)) == Set(honoured).subtracting(["/api/beats"]))
        }
    }

    @Test("What was not committed when the gateway died is carried out, on the terms of its request")
    func undone() async throws {
        try await KeyScene.use { scene in
            let made = try await scene.post(body: #"{"title":"Summer Vibes","licenseTypes":{"basic":10.00}}"#)
            try await scene.stack.owner.run("TRUNCATE idempotency_keys")
            let (path, version) = ("/api/beats/\(try KeyScene.id(made))", try #require(made.fields.first(name: "ETag")))
            #expect(try await scene.post("\(path)/publish", ifMatch: version, body: nil).status == 200)
            // Somebody else has made another version of it by then.
            try await scene.stack.owner.run("UPDATE beats SET status = 'draft'; UPDATE idempotency_keys SET carried_out_at = NULL")
            try await scene.unsettle()
            #expect(try await scene.post("\(path)/publish", ifMatch: version, body: nil).status == 412)
            #expect(try await scene.stack.count("idempotency_keys") == 0)
            #expect(try await scene.post("\(path)/publish", ifMatch: "*", body: nil).body.contains(#""status":"published""#))
        }
    }

    // MARK: Two at one request

    private static let principal = Principal.account(
        Account(id: .now, sessionID: nil, roles: .user, isVerified: true, hasSecondFactor: false))

    private static func claim(_ store: IdempotencyStore, lease: Duration = .zero) async throws(Problem) -> IdempotencyClaim {
        guard let key = IdempotencyKey(field: "key") else { throw .unexpected }
        let verdict = try await store.claim(key, for: principal, fingerprint: Array(repeating: 1, count: 32), lease: lease)
        guard case .carryOut(let claim) = verdict else { throw .unexpected }
        return claim
    }

    private static func carryOut(_ mark: IdempotencyMark, _ stack: Stack) async throws(Problem) {
        try await stack.postgresAccess.transaction(as: PostgresSettings(principal), within: .seconds(20)) { transaction in
            try await transaction.set(mark)
        }
    }

    @Test("A gateway that was taken for dead, and is not, commits nothing once another has its request")
    func late() async throws {
        try await Stack.use { stack in
            let store = IdempotencyStore(postgres: stack.postgresAccess)
            let first = try await Self.claim(store)
            let second = try await Self.claim(store)
            #expect(!second.isCarriedOut)
            let late = await problem { () throws(Problem) in try await Self.carryOut(IdempotencyMark(first), stack) }
            #expect(late == .idempotencyKeyInUse)
            #expect(try await stack.count("idempotency_keys WHERE carried_out_at IS NOT NULL") == 0)
            try await Self.carryOut(IdempotencyMark(second), stack)
            #expect(try await Self.claim(store).isCarriedOut)
        }
    }

    @Test("Whoever takes a request over while it is being committed waits for the outcome", arguments: [true, false])
    func underway(isCommitted: Bool) async throws {
        try await Stack.use { stack in
            let store = IdempotencyStore(postgres: stack.postgresAccess, timeout: .seconds(20))
            let mark = IdempotencyMark(try await Self.claim(store))
            let next = Mutex<Task<IdempotencyClaim, any Error>?>(nil)
            let outcome = await problem { () throws(Problem) in
                try await stack.postgresAccess.transaction(as: PostgresSettings(Self.principal), within: .seconds(20)) { transaction in
                    try await transaction.set(mark)
                    let claiming = Task<IdempotencyClaim, any Error> { try await Self.claim(store) }
                    next.withLock { $0 = claiming }
                    let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    #expect(try await eventually { try await stack.count(waiting) == 1 })
                    if !isCommitted { throw Problem(.conflict, "Rolled back.") }
                }
            }
            #expect(outcome == (isCommitted ? nil : .conflict))
            #expect(try await #require(next.withLock { $0 }).value.isCarriedOut == isCommitted)
        }
    }

    @Test("A refusal of what was carried out is kept, one of what was not leaves nothing", arguments: [true, false])
    func refusals(isCarriedOut: Bool) async throws {
        try await Stack.use { stack in
            let store = IdempotencyStore(postgres: stack.postgresAccess)
            let claim = try await Self.claim(store, lease: .seconds(30))
            if isCarriedOut { try await Self.carryOut(IdempotencyMark(claim), stack) }
            let answer = KeptAnswer(status: 404, fields: [], body: [0x7B, 0x7D])
            try await store.settle(claim, .refused(answer))
            #expect(try await stack.texts("SELECT state || status FROM idempotency_keys") == (isCarriedOut ? ["done404"] : []))
        }
    }
}
