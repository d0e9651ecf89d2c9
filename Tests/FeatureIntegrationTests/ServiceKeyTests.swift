import Audit
import Contract
import Credentials
import DataPlane
import Foundation
import PostgresClient
import TestSupport
import Testing

@testable import Identity

@Suite struct ServiceKeyTests {
    private static let caller = Caller(address: .unknown, userAgent: "tests", transport: .bearer)
    private static let scopes: Set<Scope> = [.analyticsRead, .eventsWrite]

    private static func service(_ stack: Stack) -> ServiceKeyService {
        let postgres = PostgresAccess(stack.postgres, observer: stack.recorder)
        return ServiceKeyService(
            postgres: postgres, observer: stack.recorder)
    }

    private static func makeAccount(_ stack: Stack, _ name: String, _ role: Role) async throws -> Account {
        let id = EntityID.now
        try await stack.owner.run("INSERT INTO users (id, username) VALUES ('\(id)', '\(name)')")
        return Account(id: id, sessionID: nil, roles: [.user, Roles(role)], isVerified: true, hasSecondFactor: false)
    }

    private static func order(_ name: String = "dashboard", expiresAt: Timestamp? = nil) -> ServiceKeyOrder {
        ServiceKeyOrder(name: name, scopes: scopes, expiresAt: expiresAt)
    }

    @Test func aKeyMayDoWhatItsScopesSayAndIsStoredAsADigestAlone() async throws {
        try await Stack.use { stack in
            let service = Self.service(stack)
            let admin = try await Self.makeAccount(stack, "boss", .admin)
            let (key, secret) = try await service.create(Self.order(), by: admin, caller: Self.caller)
            #expect(secret.wholeMatch(of: /kbk_[A-Za-z0-9_-]{43}/) != nil)
            #expect(try await service.access(secret) == ServiceAccess(keyID: key.id, scopes: Self.scopes))
            #expect(key.createdBy == admin.id && key.lastUsedAt == nil)
            let rows = try await stack.texts("SELECT row_to_json(service_keys)::text FROM service_keys")
            #expect(rows.count == 1 && !rows[0].contains(secret.dropFirst(4)))
            let log = try await stack.texts("SELECT row_to_json(audit_log)::text FROM audit_log WHERE action = 'service_key_created'")
            #expect(log.count == 1 && !log[0].contains(secret.dropFirst(4)) && log[0].contains("dashboard"))
        }
    }

    @Test func aRevokedOrExpiredKeyIsNoneFromTheNextRequestOn() async throws {
        try await Stack.use { stack in
            let service = Self.service(stack)
            let admin = try await Self.makeAccount(stack, "boss", .admin)
            let (key, revoked) = try await service.create(Self.order(), by: admin, caller: Self.caller)
            let (_, expired) = try await service.create(
                Self.order("short", expiresAt: Timestamp(milliseconds: Timestamp.now.milliseconds + 3_600_000)), by: admin,
                caller: Self.caller)
            _ = try await (service.access(revoked), service.access(expired))
            try await service.revoke(key.id, by: admin, caller: Self.caller)
            await #expect(throws: Problem.unauthenticated) { try await service.access(revoked) }
            _ = try await service.access(expired)
            try await stack.owner.run("UPDATE service_keys SET expires_at = now() WHERE name = 'short'")
            await #expect(throws: Problem.unauthenticated) { try await service.access(expired) }
            await #expect(throws: Problem.notFound("service key")) { try await service.revoke(key.id, by: admin, caller: Self.caller) }
            await #expect(throws: Problem.notFound("service key")) { try await service.revoke(.now, by: admin, caller: Self.caller) }
            #expect(try await stack.count("audit_log WHERE action = 'service_key_revoked'") == 1)
        }
    }

    @Test func useIsNotedOnceAMinuteHoweverManyRequestsThereAre() async throws {
        try await Stack.use { stack in
            let services = [Self.service(stack), Self.service(stack)]
            let secret = try await services[0].create(Self.order())
            let versions = "SELECT xmin::text || ' ' || last_used_at FROM service_keys"
            try await withThrowingTaskGroup { group in
                for number in 0..<200 { group.addTask { _ = try await services[number % 2].access(secret) } }
                try await group.waitForAll()
            }
            // Two, where the minute ends between them.
            var seen = Set(try await stack.texts(versions))
            for _ in 0..<50 {
                _ = try await services[0].access(secret)
                seen.formUnion(try await stack.texts(versions))
            }
            #expect((1...2).contains(seen.count), "\(seen)")
            #expect(try await stack.texts("SELECT extract(second FROM last_used_at)::float8::text FROM service_keys") == ["0"])
            try await stack.owner.run("UPDATE service_keys SET last_used_at = last_used_at - interval '2 minutes'")
            _ = try await services[0].access(secret)
            #expect(try await stack.count("service_keys WHERE last_used_at > now() - interval '90 s'") == 1)
        }
    }

    @Test func onTheCommandLineAKeyNeedsNoAccount() async throws {
        try await Stack.use { stack in
            let service = Self.service(stack)
            let secret = try await service.create(Self.order())
            #expect(try await service.access(secret).scopes == Self.scopes)
            #expect(try await stack.count("service_keys WHERE created_by IS NULL") == 1)
        }
    }

    /// Row security, not the route's policy.
    @Test func nobodyButAnAdminMakesSeesOrRevokesKeys() async throws {
        try await Stack.use { stack in
            let service = Self.service(stack)
            let admin = try await Self.makeAccount(stack, "boss", .admin)
            let key = try await service.create(Self.order(), by: admin, caller: Self.caller).key
            for role in [Role.user, .creator, .brand] {
                let account = try await Self.makeAccount(stack, "some-\(role)", role)
                await #expect(throws: Problem.forbidden) { try await service.create(Self.order(), by: account, caller: Self.caller) }
                let page = try await service.page(PageRequest(limit: 10, position: .page(1)), for: account)
                #expect(page.rows.isEmpty && page.total == .init(0))
                await #expect(throws: Problem.notFound("service key")) {
                    try await service.revoke(key.id, by: account, caller: Self.caller)
                }
            }
            #expect(try await stack.count("service_keys WHERE revoked_at IS NULL") == 1)
        }
    }

    @Test func theListIsPagedTheNewestFirst() async throws {
        try await Stack.use { stack in
            let service = Self.service(stack)
            let admin = try await Self.makeAccount(stack, "boss", .admin)
            for number in 0..<7 { _ = try await service.create(Self.order("key \(number)"), by: admin, caller: Self.caller) }
            var (names, position): ([String], PageRequest.Position?) = ([], .page(1))
            while let wanted = position {
                let page = try await service.page(PageRequest(limit: 3, position: wanted), for: admin)
                names += page.rows.map(\.name)
                #expect(page.total == .init(7))
                position = page.next.map { .after($0) }
            }
            #expect(names == (0..<7).reversed().map { "key \($0)" })
            #expect(
                try await service.page(PageRequest(limit: 3, position: .page(2)), for: admin).rows.map(\.name) == [
                    "key 3", "key 2", "key 1",
                ])
            let foreign = Cursor(order: 9, value: .integer(0), id: .now)
            await #expect { try await service.page(PageRequest(limit: 3, position: .after(foreign)), for: admin) } throws: {
                ($0 as? Problem)?.code == .invalidCursor
            }
        }
    }

    @Test func aWrongKeyOfTheRightShapeIsNone() async throws {
        try await Stack.use { stack in
            let service = Self.service(stack)
            _ = try await service.create(Self.order())
            await #expect(throws: Problem.unauthenticated) { try await service.access(ServiceKeySecret().text) }
        }
    }
}
