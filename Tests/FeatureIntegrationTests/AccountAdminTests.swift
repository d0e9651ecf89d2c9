import MongoClient
import Contract
import DataPlane
import PostgresClient
import Testing

@testable import Identity

/// What admins do with accounts.
@Suite struct AccountAdminTests {
    private static let caller = SessionDesk.caller

    @Test func aSuspensionIsInForceAtOnceAndHidesWhatTheAccountShowed() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            let id = try await desk.session.makeAccount("nora", roles: ["user", "creator"])
            let login = try await desk.session.login("nora")
            let beat = try await desk.makeBeat(of: id)
            try await desk.deliver()
            #expect(try await desk.profile("nora") != nil)
            #expect(try await desk.beat(beat) != nil)

            let entry = try await desk.admin.suspend(id, reason: "Sells what is not hers", by: boss, caller: Self.caller)
            #expect(entry.status == .suspended && entry.suspendedReason == "Sells what is not hers" && entry.suspendedAt != nil)
            #expect(await problem { () throws(Problem) in try await desk.session.account(login) } != nil)
            #expect(await problem { () throws(Problem) in try await desk.session.refresh(login) } != nil)
            #expect(await problem { () throws(Problem) in try await desk.session.login("nora") } == .accountSuspended)
            #expect(try await desk.profile("nora") == nil)
            try await desk.deliver()
            #expect(try await desk.beat(beat) == nil)
            #expect(try await stack.mongoCount("search_index", ["_id": .uuid(beat.rawValue), "deleted": true]) == 1)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.suspend(id, reason: "Again", by: boss, caller: Self.caller)
                } == .conflict)

            let back = try await desk.admin.unsuspend(id, by: boss, caller: Self.caller)
            #expect(back.status == .active && back.suspendedReason == nil)
            try await desk.deliver()
            #expect(try await desk.profile("nora") != nil)
            #expect(try await desk.beat(beat) != nil)
            #expect(try await stack.mongoCount("search_index", ["_id": .uuid(beat.rawValue), "title": "Beat"]) == 1)
            // Sessions that a suspension ended stay ended.
            #expect(await problem { () throws(Problem) in try await desk.session.account(login) } == .unauthenticated)
            _ = try await desk.session.login("nora")
            #expect(try await desk.audited("account_suspended", of: id) == 1)
            #expect(try await desk.audited("account_unsuspended", of: id) == 1)
        }
    }

    @Test func aSuspensionVerifiesNoAddress() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            try await desk.register("nora")
            let id = try #require(EntityID(try await stack.texts("SELECT id::text FROM users WHERE username = 'nora'")[0]))
            _ = try await desk.admin.suspend(id, reason: "Spam", by: boss, caller: Self.caller)
            #expect(try await desk.admin.unsuspend(id, by: boss, caller: Self.caller).status == .pending)
        }
    }

    @Test func aSuspensionThatIsTakenBackLeavesTheAccountAsItWas() async throws {
        try await Stack.use { stack in
            // As in development, where an account is active before its address is verified.
            let desk = try await AccountDesk(stack, admitsUnverified: true)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            try await desk.register("nora")
            let id = try #require(EntityID(try await stack.texts("SELECT id::text FROM users WHERE username = 'nora'")[0]))
            let beat = try await desk.makeBeat(of: id)
            try await desk.deliver()
            _ = try await desk.admin.suspend(id, reason: "Spam", by: boss, caller: Self.caller)
            #expect(try await desk.admin.unsuspend(id, by: boss, caller: Self.caller).status == .active)
            try await desk.deliver()
            #expect(try await desk.beat(beat) != nil)
            _ = try await desk.session.login("nora")
            #expect(try await stack.count("user_accounts WHERE suspended_at IS NOT NULL OR suspended_from IS NOT NULL") == 0)
        }
    }

    @Test func anAddressThatIsVerifiedDuringASuspensionCountsAfterwards() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            try await desk.register("nora")
            let id = try #require(EntityID(try await stack.texts("SELECT id::text FROM users WHERE username = 'nora'")[0]))
            _ = try await desk.admin.suspend(id, reason: "Spam", by: boss, caller: Self.caller)
            try await stack.owner.run("UPDATE user_accounts SET email_verified_at = now() WHERE user_id = '\(id)'")
            #expect(try await desk.admin.unsuspend(id, by: boss, caller: Self.caller).status == .active)
        }
    }

    @Test func aRoleIsInForceWithTheNextRequestAndGoesAsFast() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            let id = try await desk.session.makeAccount("nora")
            let login = try await desk.session.login("nora")
            for role in [Role.creator, .brand, .admin] {
                #expect(try await desk.admin.grant(role, to: id, by: boss, caller: Self.caller).roles.contains(Roles(role)))
                #expect(try await desk.session.account(login).roles.contains(Roles(role)))
                #expect(try await desk.admin.grant(role, to: id, by: boss, caller: Self.caller).roles.contains(Roles(role)))
            }
            #expect(try await desk.profile("nora")?["isCreator"] as? Bool == true)
            for role in [Role.creator, .brand, .admin] {
                let entry = try await desk.admin.revoke(role, from: id, by: boss, caller: Self.caller)
                #expect(!entry.roles.contains(Roles(role)) && entry.isCreator == false)
                #expect(!(try await desk.session.account(login).roles.contains(Roles(role))))
            }
            #expect(
                try await stack.texts("SELECT DISTINCT granted_by::text FROM user_roles WHERE role <> 'user' AND granted_by IS NOT NULL")
                    == [])
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.revoke(.user, from: id, by: boss, caller: Self.caller)
                } == .conflict)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.revoke(.brand, from: id, by: boss, caller: Self.caller)
                } == .notFound)
            // What was there already is not accounted for again.
            #expect(try await desk.audited("role_granted", of: id) == 3)
            #expect(try await desk.audited("role_revoked", of: id) == 3)
        }
    }

    @Test func whoLostTheRoleOfACreatorDoesNotTakeItBackButIsGivenIt() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            let id = try await desk.session.makeAccount("nora")
            let login = try await desk.session.login("nora")
            func become() async throws(Problem) {
                _ = try await desk.profiles.becomeCreator(try await desk.session.account(login), caller: Self.caller)
            }
            try await become()
            _ = try await desk.admin.revoke(.creator, from: id, by: boss, caller: Self.caller)
            #expect(await problem { () throws(Problem) in try await become() } == .forbidden)
            #expect(!(try await desk.session.account(login).roles.contains(.creator)))
            _ = try await desk.admin.grant(.creator, to: id, by: boss, caller: Self.caller)
            try await become()
            #expect(try await desk.session.account(login).roles.contains(.creator))
        }
    }

    @Test func whatCannotBeAccountedForIsNotDone() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            let id = try await desk.session.makeAccount("nora")
            func grant() async -> Problem.Code? {
                await problem { () throws(Problem) in try await desk.admin.grant(.brand, to: id, by: boss, caller: Self.caller) }
            }
            try await stack.owner.run("ALTER TABLE audit_log ADD CONSTRAINT nothing CHECK (action <> 'role_granted') NOT VALID")
            let code = await grant()
            try await stack.owner.run("ALTER TABLE audit_log DROP CONSTRAINT nothing")
            #expect(code != nil)
            #expect(try await stack.count("user_roles WHERE role = 'brand'") == 0)
            #expect(await grant() == nil)
            #expect(try await stack.count("user_roles WHERE role = 'brand'") == 1)
            #expect(try await desk.audited("role_granted", of: id) == 1)
        }
    }

    @Test func thereIsAlwaysAnAdminLeftAlsoWhenTwoGoAtOnce() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            let idle = try await desk.session.makeAccount("idle", status: "suspended", roles: ["user", "admin"])
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.revoke(.admin, from: boss.id, by: boss, caller: Self.caller)
                } == .conflict)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.profiles.delete(boss, password: SessionDesk.password, caller: Self.caller)
                } == .conflict)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.suspend(boss.id, reason: "Me", by: boss, caller: Self.caller)
                } == .conflict)
            // One who cannot act is none to count on, and may go.
            _ = try await desk.admin.revoke(.admin, from: idle, by: boss, caller: Self.caller)
            let second = try await desk.signedIn("second", roles: ["user", "admin"])
            async let one = problem { () throws(Problem) in
                try await desk.admin.revoke(.admin, from: boss.id, by: boss, caller: Self.caller)
            }
            async let two = problem { () throws(Problem) in
                try await desk.admin.revoke(.admin, from: second.id, by: second, caller: Self.caller)
            }
            let outcomes = await [one, two]
            #expect(outcomes.contains(nil) && outcomes.contains(.conflict))
            #expect(try await stack.count("user_roles WHERE role = 'admin'") == 1)
        }
    }

    @Test func whoeverIsNoAdminChangesAndFindsNobody() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let id = try await desk.session.makeAccount("nora")
            let mina = try await desk.signedIn("mina", roles: ["user", "creator"])
            // Past the door, which asks for the role: Postgres decides.
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.suspend(id, reason: "Envy", by: mina, caller: Self.caller)
                } != nil)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.grant(.admin, to: mina.id, by: mina, caller: Self.caller)
                } == .forbidden)
            let list = try await desk.admin.list(AccountFilter(), PageRequest(limit: 10, position: .page(1)), as: mina)
            #expect(list.rows.allSatisfy { $0.email == nil || $0.id == mina.id })
            #expect(try await stack.texts("SELECT DISTINCT status FROM users") == ["active"])
            #expect(try await stack.count("user_roles WHERE role = 'admin'") == 0)
        }
    }

    @Test func theListHoldsWhatItsFiltersSayInOrderByCursorAndByPage() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let boss = try await desk.signedIn("boss", roles: ["user", "admin"])
            for number in 0..<7 {
                try await desk.session.makeAccount(
                    "nora\(number)", status: number < 2 ? "suspended" : "active", roles: number == 3 ? ["user", "brand"] : ["user"])
            }
            func names(_ filter: AccountFilter, limit: Int = 3) async throws -> [String] {
                var (names, page): ([String], PageRequest) = ([], PageRequest(limit: limit, position: .page(1)))
                while true {
                    let list = try await desk.admin.list(filter, page, as: boss)
                    names += list.rows.map(\.username)
                    guard let next = list.next else {
                        #expect(list.total == .init(Int64(names.count)))
                        return names
                    }
                    page = PageRequest(limit: limit, position: .after(try #require(Cursor(next.description))))
                }
            }
            #expect(try await names(AccountFilter()) == (0..<7).reversed().map { "nora\($0)" } + ["boss"])
            #expect(try await names(AccountFilter(status: .suspended)) == ["nora1", "nora0"])
            #expect(try await names(AccountFilter(role: .brand)) == ["nora3"])
            #expect(try await names(AccountFilter(role: .admin, search: "BOSS@EX")) == ["boss"])
            #expect(try await names(AccountFilter(search: "_ora%")) == [])
            let second = try await desk.admin.list(AccountFilter(), PageRequest(limit: 3, position: .page(2)), as: boss)
            #expect(second.rows.map(\.username) == ["nora3", "nora2", "nora1"])
            let cursor = try #require(second.next)
            #expect(
                await problem { () throws(Problem) in
                    try await desk.admin.list(AccountFilter(role: .user), PageRequest(limit: 3, position: .after(cursor)), as: boss)
                } == .invalidCursor)
        }
    }

    @Test func theCommandLineMakesTheFirstAdmin() async throws {
        try await Stack.use { stack in
            let desk = try await AccountDesk(stack)
            let id = try await desk.session.makeAccount("nora")
            let commands = AccountAdminCommands(postgres: desk.postgres)
            #expect(await problem { () throws(Problem) in try await commands.grantAdmin(email: "nobody@example.com") } == .notFound)
            for _ in 0..<2 { #expect(try await commands.grantAdmin(email: "NORA@example.com") == "nora") }
            #expect(try await desk.session.account(desk.session.login("nora")).roles == [.user, .admin])
            #expect(
                try await stack.texts("SELECT metadata->>'role' FROM audit_log WHERE target_id = '\(id)' AND action = 'role_granted'") == [
                    "admin", "admin",
                ])
        }
    }
}
