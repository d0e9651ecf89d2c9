import Contract
import DataPlane
import NIOHTTP1
import TestSupport
import Testing

/// Requests that are sent again, over real HTTP and the real database.
@Suite("Requests that have a key", .timeLimit(.minutes(5)))
struct IdempotencyTests {
    // MARK: Once

    @Test("Ten equal requests at once make one beat; whoever is not answered with it is told to come again")
    func together() async throws {
        try await KeyScene.use { scene in
            let answers = try await withThrowingTaskGroup(of: RunningGateway.Answer.self) { group in
                for _ in 0..<10 { group.addTask { try await scene.post() } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 201 || $0.status == 409 && $0.code == "idempotency_key_in_use" })
            #expect(answers.filter { $0.status == 409 }.allSatisfy { ["1", "2"].contains($0.fields.first(name: "Retry-After")) })
            #expect(answers.count { $0.status == 201 && !$0.isReplayed } == 1)
            #expect(Set(answers.filter { $0.status == 201 }.map(\.body)).count == 1)
            #expect(try await scene.stack.count("beats") == 1)
        }
    }

    @Test("An answer is sent again byte for byte, whatever has become of the beat, and says that it was")
    func replay() async throws {
        try await KeyScene.use { scene in
            let first = try await scene.post()
            #expect(first.status == 201 && !first.isReplayed)
            let path = "/api/beats/\(try KeyScene.id(first))"
            #expect(try await scene.gateway.send("PATCH", path, bearer: scene.ada, body: #"{"title":"Winter"}"#).status == 200)
            let again = try await scene.post(key: #""key""#)
            #expect(again.status == 201 && again.body == first.body && again.isReplayed)
            for name in ["Content-Type", "ETag", "Cache-Control", "Content-Length"] {
                #expect(again.fields[name] == first.fields[name] && !again.fields[name].isEmpty, "\(name)")
            }
            #expect(again.fields["X-Request-Id"] != first.fields["X-Request-Id"])
            #expect(try await scene.gateway.send("DELETE", path, bearer: scene.ada).status == 204)
            #expect(try await scene.post().body == first.body)
            #expect(try await scene.stack.count("beats") == 1)
        }
    }

    @Test("A key stands for one request: with another body, or at another path, it is refused")
    func reused() async throws {
        try await KeyScene.use { scene in
            let id = try KeyScene.id(try await scene.post())
            for answer in [
                try await scene.post(body: #"{"title":"Winter"}"#), try await scene.post("/api/beats/\(id)/archive", body: nil),
                try await scene.post("/api/beats?a=b"),
            ] {
                #expect(answer.status == 422 && answer.code == "idempotency_key_reused")
            }
            #expect(try await scene.stack.texts("SELECT status FROM beats") == ["draft"])
        }
    }

    @Test("A key is its account's alone")
    func accounts() async throws {
        try await KeyScene.use { scene in
            let (ada, bob) = (try await scene.post(), try await scene.post(by: scene.bob))
            #expect(ada.status == 201 && bob.status == 201 && !bob.isReplayed)
            #expect(try KeyScene.id(ada) != KeyScene.id(bob))
            #expect(try await scene.post(body: #"{"title":"Winter"}"#).status == 422)
            #expect(try await scene.post(by: scene.bob).body == bob.body)
        }
    }

    @Test("A request that is refused leaves no trace: put right, it is carried out under the same key")
    func refused() async throws {
        try await KeyScene.use { scene in
            let wrong = try await scene.post(body: #"{"title":""}"#)
            #expect(wrong.status == 400)
            #expect(try await scene.stack.count("idempotency_keys") == 0)
            #expect(try await scene.post().status == 201)
            #expect(try await scene.post(key: "other, keys").status == 400)
            #expect(try await scene.stack.count("idempotency_keys") == 1)
        }
    }

    // MARK: Cut short

    @Test("While a request is being carried out its key is taken; a gateway that dies leaves it to whoever sends the request again")
    func taken() async throws {
        try await KeyScene.use { scene in
            let first = try KeyScene.id(try await scene.post())
            try await scene.unsettle(secondsLeft: 30)
            let taken = try await scene.post()
            #expect(taken.status == 409 && taken.code == "idempotency_key_in_use" && taken.fields.first(name: "Retry-After") == "2")
            #expect(try await scene.post(body: #"{"title":"Winter"}"#).status == 422)
            try await scene.unsettle()
            let resumed = try await scene.post()
            #expect(resumed.status == 201 && !resumed.isReplayed)
            #expect(try KeyScene.id(resumed) == first)
            #expect(try await scene.stack.count("beats") == 1)
            // Rows go once the copies have been announced, which is what an answer waits for.
            #expect(try await eventually { try await scene.stack.count("outbox WHERE aggregate_type = 'beat'") == 0 })
            #expect(try await scene.post().body == resumed.body)
        }
    }

    @Test("Where nothing was committed when the gateway died, the request is carried out, under the id that its claim had")
    func undone() async throws {
        try await KeyScene.use { scene in
            let first = try KeyScene.id(try await scene.post())
            try await scene.stack.owner.run("TRUNCATE beats, outbox CASCADE; UPDATE idempotency_keys SET carried_out_at = NULL")
            try await scene.unsettle()
            let resumed = try await scene.post()
            #expect(resumed.status == 201)
            #expect(try KeyScene.id(resumed) == first)
            #expect(try await scene.stack.texts("SELECT title FROM beats") == ["Summer Vibes"])
        }
    }

    @Test("What was made and deleted before the answer was kept is not made again")
    func deleted() async throws {
        try await KeyScene.use { scene in
            let path = "/api/beats/\(try KeyScene.id(try await scene.post()))"
            #expect(try await scene.gateway.send("DELETE", path, bearer: scene.ada).status == 204)
            try await scene.unsettle()
            for isAgain in [false, true] {
                let answer = try await scene.post()
                #expect(answer.status == 404 && answer.isReplayed == isAgain)
            }
            #expect(try await scene.stack.count("beats") == 1)
        }
    }

    // MARK: For a day

    @Test("A key whose time is up stands for nothing, and is swept away")
    func expiry() async throws {
        try await KeyScene.use { scene in
            let first = try KeyScene.id(try await scene.post())
            try await scene.stack.owner.run("UPDATE idempotency_keys SET expires_at = now()")
            let second = try await scene.post(body: #"{"title":"Winter"}"#)
            #expect(second.status == 201)
            #expect(try KeyScene.id(second) != first)
            for key in 0..<5 { _ = try await scene.post(key: "old-\(key)") }
            try await scene.stack.owner.run("UPDATE idempotency_keys SET expires_at = now() WHERE key LIKE 'old-%'")
            let store = IdempotencyStore(postgres: PostgresAccess(scene.stack.postgres, observer: scene.stack.recorder))
            async let one = store.sweep(most: 3)
            async let other = store.sweep(most: 3)
            #expect(try await one + other == 5)
            #expect(try await scene.stack.texts("SELECT key FROM idempotency_keys") == ["key"])
            #expect(
                try await scene.stack.texts("SELECT (expires_at - created_at = interval '1 day')::text FROM idempotency_keys") == ["true"])
        }
    }
}

/// Keys as they are kept, without HTTP.
@Suite("Keys in the database", .timeLimit(.minutes(5)))
struct IdempotencyStoreTests {
    private static let account = Principal.account(
        Account(id: .now, sessionID: nil, roles: .user, isVerified: true, hasSecondFactor: false))
    private static let service = Principal.service(ServiceAccess(keyID: .now, scopes: []))

    private static func use(_ body: (IdempotencyStore, Stack) async throws -> Void) async throws {
        try await Stack.use { stack in
            try await body(IdempotencyStore(postgres: PostgresAccess(stack.postgres, observer: stack.recorder)), stack)
        }
    }

    private static func claim(
        _ store: IdempotencyStore, as principal: Principal = account, lease: Duration = .seconds(30)
    ) async throws -> IdempotencyClaim {
        let key = try #require(IdempotencyKey(field: "key"))
        let verdict = try await store.claim(key, for: principal, fingerprint: Array(repeating: 1, count: 32), lease: lease)
        guard case .carryOut(let claim) = verdict else {
            Issue.record("\(verdict)")
            throw Problem.unexpected
        }
        return claim
    }

    private static let answer = KeptAnswer(
        status: 201, fields: [.init("Content-Type", "application/json"), .init("ETag", #""1-ä,{}""#)], body: [0, 1, 0xFF])

    @Test("Accounts and service keys have keys, each its own", arguments: [account, service])
    func owners(_ principal: Principal) async throws {
        try await Self.use { store, _ in
            let claim = try await Self.claim(store, as: principal)
            #expect(!claim.isCarriedOut)
            try await store.settle(claim, .answered(Self.answer))
            let again = try await store.claim(claim.key, for: principal, fingerprint: Array(repeating: 1, count: 32), lease: .seconds(1))
            #expect(again == .answered(Self.answer))
            let other = principal == Self.account ? Self.service : Self.account
            #expect(try await !Self.claim(store, as: other).isCarriedOut)
        }
    }

    @Test("What was left open is taken over at once, with the id that it had; whoever is late ends nothing")
    func takenOver() async throws {
        try await Self.use { store, stack in
            let first = try await Self.claim(store)
            try await store.settle(first, .open)
            let second = try await Self.claim(store, lease: .zero)
            #expect(!second.isCarriedOut && second.effect == first.effect && second.token != first.token)
            let third = try await Self.claim(store)
            for late in [first, second] {
                try await store.settle(late, .refused(Self.answer))
                try await store.settle(late, .answered(Self.answer))
            }
            #expect(try await stack.texts("SELECT state FROM idempotency_keys") == ["running"])
            try await store.settle(third, .answered(Self.answer))
            try await store.settle(third, .refused(Self.answer))
            #expect(try await stack.texts("SELECT state FROM idempotency_keys") == ["done"])
        }
    }

    @Test("Of many that claim a key at once, one has it")
    func one() async throws {
        try await Self.use { store, _ in
            let claims = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        do {
                            _ = try await Self.claim(store)
                            return true
                        } catch let problem as Problem where problem.code == .idempotencyKeyInUse {
                            return false
                        }
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(claims.count { $0 } == 1)
        }
    }
}
