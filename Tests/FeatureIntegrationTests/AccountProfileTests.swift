import Contract
import DataPlane
import Foundation
import MongoClient
import PostgresClient
import Testing

@testable import Beats
@testable import HTTPAPI
@testable import Identity

/// What holders change of their accounts, and what follows.
@Suite struct AccountProfileTests {
    @Test func aChangeTouchesWhatItNamesAndNothingElse() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            _ = try await desk.change(account) {
                $0.displayName = .set("Nora")
                $0.bio = .set("One\nTwo")
                $0.socialLinks = #"{"website":"https://nora.example","x":"https://x.example/nora"}"#
                $0.preferences = #"{"theme":"dark","genres":["Trap"]}"#
            }
            let own = try await desk.change(account) {
                $0.bio = .clear
                $0.socialLinks = #"{"x":null}"#
                $0.preferences = #"{"autoplay":true}"#
            }
            #expect(own.displayName == "Nora" && own.bio == nil && own.version == 3)
            #expect(own.socialLinks == #"{"website": "https://nora.example"}"#)
            #expect(own.preferences == #"{"theme": "dark", "genres": ["Trap"], "autoplay": true}"#)
            #expect(own.email == "nora@example.com" && own.roles == .user)
        }
    }

    @Test func aChangeToAnOldVersionIsRefused() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            let own = try await desk.change(account) { $0.bio = .set("First") }
            #expect(
                await problem { () throws(Problem) in
                    try await desk.change(account, ifVersion: IfMatch("\"1\"")) { $0.bio = .set("Second") }
                } == .versionConflict)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.profiles.rename(account, to: "mina", ifVersion: IfMatch("W/\(own.etag)"), caller: SessionDesk.caller)
                } == .versionConflict)
            _ = try await desk.change(account, ifVersion: IfMatch("\"0\", \(own.etag)")) { $0.bio = .set("Second") }
            #expect(try await stack.texts("SELECT bio FROM users") == ["Second"])
        }
    }

    @Test func readersSeeAChangeOnceItsAnswerIsOut() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            #expect(try await desk.profile("nora")?["displayName"] == nil)
            _ = try await desk.change(account) {
                $0.displayName = .set("Nora")
                $0.socialLinks = #"{"website":"https://nora.example"}"#
                $0.preferences = #"{"theme":"dark"}"#
            }
            let profile = try #require(try await desk.profile("nora"))
            #expect(profile["displayName"] as? String == "Nora")
            #expect(profile["socialLinks"] as? [String: String] == ["website": "https://nora.example"])
            // Nothing private is in it.
            #expect(
                Set(profile.keys) == ["id", "version", "username", "displayName", "isVerified", "isCreator", "socialLinks", "createdAt"])
        }
    }

    // MARK: What beats show of their creator

    @Test func everyBeatOfACreatorFollowsItsNameInCachesAndInTheIndex() async throws {
        try await Stack.use { stack in
            // Five beats by twos: three deliveries.
            let desk = try await AccountDesk(stack, batch: 2)
            let account = try await desk.signedIn("nora")
            let other = try await desk.signedIn("mina")
            var beats: [EntityID] = []
            for _ in 0..<5 { beats.append(try await desk.makeBeat(of: account.id)) }
            let foreign = try await desk.makeBeat(of: other.id)
            try await desk.deliver()
            for beat in beats {
                let creator = try #require(try await desk.beat(beat)?["creator"] as? [String: Any])
                #expect(creator["username"] as? String == "nora")
            }
            _ = try await desk.profiles.rename(account, to: "nora-k", ifVersion: .any, caller: SessionDesk.caller)
            _ = try await desk.change(account) { $0.avatarURL = .set("https://nora.example/a.png") }
            try await desk.deliver()
            for beat in beats {
                let creator = try #require(try await desk.beat(beat)?["creator"] as? [String: Any])
                #expect(creator["username"] as? String == "nora-k" && creator["avatarUrl"] as? String == "https://nora.example/a.png")
                let rows = try await stack.mongoCount(
                    "search_index", ["_id": .uuid(beat.rawValue), "artistName": "nora-k", "words": ["$all": ["nora", "k"]]])
                #expect(rows == 1)
            }
            #expect(try await stack.version("search_index", of: foreign) == 1)
            #expect(try await stack.count("outbox WHERE aggregate_type <> 'mail'") == 0)
            // A change that beats do not show leaves them alone.
            let before = try await stack.texts("SELECT version::text FROM beats ORDER BY id")
            _ = try await desk.change(account) { $0.bio = .set("Something") }
            try await desk.deliver()
            #expect(try await stack.texts("SELECT version::text FROM beats ORDER BY id") == before)
        }
    }

    @Test func aDeliveryThatHappensTwiceGivesNoBeatAnotherVersion() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            let beat = try await desk.makeBeat(of: account.id)
            _ = try await desk.change(account) { $0.displayName = .set("Nora") }
            let projector = CreatorProjector(postgres: desk.postgres)
            for _ in 0..<3 { #expect(try await projector.project([account.id]).outcomes == [account.id: .shown(version: 2)]) }
            #expect(try await stack.texts("SELECT version::text FROM beats WHERE id = '\(beat)'") == ["2"])
        }
    }

    // MARK: Names

    @Test func anotherNameIsTakenOnceAndTheOldOneIsFree() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let (nora, mina) = (try await desk.signedIn("nora"), try await desk.signedIn("mina"))
            _ = try await desk.profile("nora")
            #expect(
                await problem { () throws(Problem) in
                    try await desk.profiles.rename(mina, to: "NORA", ifVersion: .any, caller: SessionDesk.caller)
                } == .conflict)
            let own = try await desk.profiles.rename(nora, to: "Nora.K", ifVersion: .any, caller: SessionDesk.caller)
            #expect(own.username == "Nora.K" && own.version == 2)
            #expect(try await desk.profile("nora") == nil)
            #expect(try await desk.profile("nora.k")?["id"] as? String == "\(nora.id)")
            _ = try await desk.profiles.rename(mina, to: "nora", ifVersion: .any, caller: SessionDesk.caller)
            #expect(try await desk.profile("nora")?["id"] as? String == "\(mina.id)")
            #expect(
                try await stack.texts("SELECT metadata->>'previous' FROM audit_log WHERE action = 'username_changed' ORDER BY at")
                    == ["nora", "mina"])
        }
    }

    @Test func ofTwentyWhoWantOneNameOneGetsIt() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            var accounts: [Account] = []
            for number in 0..<20 { accounts.append(try await desk.signedIn("user\(number)")) }
            let won = await withTaskGroup(of: Bool.self) { group in
                for account in accounts {
                    group.addTask {
                        await problem { () throws(Problem) in
                            try await desk.profiles.rename(account, to: "wanted", ifVersion: .any, caller: SessionDesk.caller)
                        } == nil
                    }
                }
                return await group.reduce(into: 0) { if $1 { $0 += 1 } }
            }
            #expect(won == 1)
        }
    }

    // MARK: Creators, and the end

    @Test func anAccountBecomesACreatorByItselfAndOnce() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            try await desk.session.makeAccount("nora")
            let login = try await desk.session.login("nora")
            let account = try await desk.session.account(login)
            let own = try await desk.profiles.becomeCreator(account, caller: SessionDesk.caller)
            #expect(own.isCreator && own.roles == [.user, .creator] && own.version == 2)
            // In force with the next request.
            let creator = try await desk.session.account(login)
            #expect(creator.roles.contains(.creator))
            #expect(try await desk.profiles.becomeCreator(creator, caller: SessionDesk.caller).version == 2)
            #expect(try await desk.audited("became_creator", of: account.id) == 1)
        }
    }

    @Test func aDeletedAccountLeavesNothingThatSaysWhoItWas() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            let login = try await desk.session.login("nora")
            _ = try await desk.change(account) {
                $0.displayName = .set("Nora Keller")
                $0.bio = .set("Nora Keller, Berlin")
                $0.socialLinks = #"{"website":"https://nora.example"}"#
                $0.preferences = #"{"language":"de"}"#
            }
            let beat = try await desk.makeBeat(of: account.id)
            try await desk.deliver()
            _ = try await desk.beat(beat)
            let code = await problem { () throws(Problem) in
                try await desk.profiles.delete(account, password: "", caller: SessionDesk.caller)
            }
            #expect(code == .invalidRequest)
            try await desk.profiles.delete(account, password: SessionDesk.password, caller: SessionDesk.caller)
            try await desk.deliver()
            #expect(await problem { () throws(Problem) in try await desk.session.account(login) } == .unauthenticated)
            #expect(await problem { () throws(Problem) in try await desk.session.login("nora") } == .unauthenticated)
            #expect(try await desk.profile("nora") == nil)
            #expect(try await desk.profile("\(account.id)") == nil)
            #expect(try await desk.beat(beat) == nil)
            #expect(try await stack.mongoCount("search_index", ["_id": .uuid(beat.rawValue), "deleted": true]) == 1)
            let rest = try await stack.texts(
                "SELECT concat(to_jsonb(users), to_jsonb(a), to_jsonb(p)) FROM users, user_accounts AS a, user_profiles AS p")
            #expect(rest.count == 1 && !rest[0].lowercased().contains("nora"))
            #expect(try await stack.count("user_credentials") == 0)
            #expect(try await stack.count("users WHERE status = 'deleted'") == 1)
            // The row is still there for what points at it; the name and the address are free.
            try await desk.register("nora")
        }
    }

    @Test func noTableButTheAuditLogSaysAnythingOfADeletedAccount() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let account = try await desk.signedIn("nora")
            // Whatever the gateway keeps of somebody, under words that stand nowhere else.
            try await stack.owner.run(
                """
                UPDATE sessions SET user_agent = 'Noraphone', address = '198.51.100.77';
                INSERT INTO mails (id, recipient, template, subject, sealed_text) VALUES
                    ('\(account.id)', 'NORA@example.com', 'reset_password', 'Hello', repeat('s', 40)::bytea);
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, state, next_at)
                    VALUES ('mail', '\(account.id)', 1, 'upsert', 'dead', NULL);
                INSERT INTO idempotency_keys (principal_id, key, fingerprint, claim, effect_id, locked_until, expires_at, body)
                    VALUES ('\(account.id)', 'k', sha256(''), gen_random_uuid(), gen_random_uuid(), now(), now(), 'nora@example.com');
                INSERT INTO notifications (id, user_id, kind, event_key, payload)
                    VALUES (gen_random_uuid(), '\(account.id)', 'sale', 'e', '{"to": "nora"}');
                INSERT INTO user_identities (issuer, subject, user_id, email)
                    VALUES ('https://issuer.example', 'nora', '\(account.id)', 'nora@elsewhere.example');
                """)
            let tables = try await stack.texts(
                """
                SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                    AND NOT relispartition AND relname <> 'audit_log' ORDER BY 1
                """)
            func found() async throws -> [String] {
                var found: [String] = []
                for table in tables {
                    // Bytes are shown as hexadecimal digits, so they are looked for as such, too.
                    let words = "nora|198[.]51[.]100[.]77|" + "nora".utf8.map { String($0, radix: 16) }.joined()
                    if try await stack.count("\(table) WHERE to_jsonb(\(table))::text ~* '\(words)'") > 0 { found.append(table) }
                }
                return found
            }
            #expect(
                try await found() == [
                    "idempotency_keys", "mails", "notifications", "sessions", "user_accounts", "user_identities", "users",
                ])
            try await desk.profiles.delete(account, password: SessionDesk.password, caller: SessionDesk.caller)
            #expect(try await found() == [])
            #expect(try await stack.count("outbox WHERE aggregate_type = 'mail'") == 0)
        }
    }
}
