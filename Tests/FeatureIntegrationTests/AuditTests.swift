import Contract
import Foundation
import PostgresClient
import TestSupport
import Testing

@testable import Audit
@testable import DataPlane

extension Stack {
    fileprivate var access: PostgresAccess { PostgresAccess(postgres, observer: recorder) }

    fileprivate var audit: AuditStore { AuditStore(postgres: access, observer: recorder) }

    fileprivate var sealer: AuditSealer { AuditSealer(postgres: access, observer: recorder) }

    fileprivate var verifier: AuditVerifier { AuditVerifier(postgres: access) }

    /// Records `count` events one after the other and seals them.
    fileprivate func sealedEntries(_ count: Int) async throws {
        for number in 1...count { try await audit.record(AuditEvent("step_\(number)", .admin)) }
        #expect(try await sealer.drain() == count)
    }

    fileprivate func entry(_ action: String) async throws -> EntityID {
        try #require(EntityID(try await texts("SELECT id::text FROM audit_log WHERE action = '\(action)'").first ?? ""))
    }
}

@Suite("The audit log", .timeLimit(.minutes(5)))
struct AuditTests {
    private static let admin = Account(id: .now, sessionID: nil, roles: [.user, .admin], isVerified: true, hasSecondFactor: true)
    private static let user = Account(id: .now, sessionID: nil, roles: [.user], isVerified: true, hasSecondFactor: true)

    private static func first(_ filter: AuditFilter = .init(), limit: Int = 100) throws -> AuditPlan {
        try AuditPlan(filter, PageRequest(limit: limit, position: .page(1)))
    }

    @Test("What is recorded is kept whole, and only an admin and the system may read it")
    func whole() async throws {
        try await Stack.use { stack in
            let (actor, target) = (EntityID.now, EntityID.now)
            let address = try #require(ClientAddress(bytes: [192, 0, 2, 7]))
            let caller = Caller(
                address: address, userAgent: "a \"client\" of eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIwMTkyIiwic2lkIjoiMDE5MyJ9.MEUCIQ",
                transport: .bearer, request: RequestID(rawValue: 255))
            try await stack.audit.record(
                AuditEvent(
                    "role_granted", .role, .notice, actor: actor, target: .init(kind: "user", id: target), caller: caller,
                    metadata: [.role: "admin", .reason: #"he said "please""#]))
            try await stack.audit.record(AuditEvent("login_failed", .signIn, .warning))
            let entries = try await stack.audit.page(Self.first(), as: PostgresSettings(.account(Self.admin))).rows
            #expect(entries.map(\.action) == ["login_failed", "role_granted"])
            let (bare, full) = (try #require(entries.first), try #require(entries.last))
            #expect(
                full
                    == AuditEntry(
                        id: full.id, at: full.at, actor: actor, action: "role_granted", category: "role", severity: "notice",
                        address: "192.0.2.7", userAgent: "[removed]", targetKind: "user", targetID: target,
                        metadata: #"{"role": "admin", "reason": "he said \"please\""}"#, requestID: "00000000000000ff"))
            #expect(
                bare
                    == AuditEntry(
                        id: bare.id, at: bare.at, actor: nil, action: "login_failed", category: "sign_in", severity: "warning",
                        address: nil, userAgent: nil, targetKind: nil, targetID: nil, metadata: "{}", requestID: nil))
            for principal: Principal in [
                .anonymous, .account(Self.user), .authenticator, .service(.init(keyID: .now, scopes: [.auditRead])),
            ] {
                #expect(try await stack.audit.page(Self.first(), as: PostgresSettings(principal)).rows == [])
                #expect(try await stack.audit.total(Self.first(), as: PostgresSettings(principal)) == 0)
            }
        }
    }

    @Test("Events of many requests share few INSERTs, and none returns before its own is durable")
    func grouped() async throws {
        try await Stack.use { stack in
            let audit = stack.audit
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in 0..<400 { tasks.addTask { try await audit.record(AuditEvent("many_\(number)", .limit)) } }
                try await tasks.waitForAll()
            }
            #expect(try await stack.count("audit_log") == 400)
            #expect(try await stack.count("audit_unsealed") == 400)
            let writes = stack.recorder.count { if case .batch(kind: "audit", _, _) = $0 { true } else { false } }
            #expect((1...100).contains(writes), "\(writes) writes")
        }
    }

    @Test("Filters narrow a list, and a cursor joins its pages while entries come in")
    func lists() async throws {
        try await Stack.use { stack in
            let (actor, target) = (EntityID.now, EntityID.now)
            for number in 0..<25 {
                try await stack.audit.record(
                    AuditEvent(
                        number % 2 == 0 ? "even" : "odd", number % 5 == 0 ? .limit : .session, number % 10 == 0 ? .critical : .info,
                        actor: number < 5 ? actor : nil, target: number < 3 ? .init(kind: "session", id: target) : nil))
            }
            func count(_ filter: AuditFilter) async throws -> Int64 { try await stack.audit.total(try Self.first(filter), as: .system) }
            #expect(try await count(.init()) == 25)
            #expect(try await count(.init(action: "even")) == 13)
            #expect(try await count(.init(category: .limit)) == 5)
            #expect(try await count(.init(severity: .critical)) == 3)
            #expect(try await count(.init(severity: .info)) == 22)
            #expect(try await count(.init(actor: actor)) == 5)
            #expect(try await count(.init(actor: actor, action: "odd")) == 2)
            #expect(try await count(.init(target: target, targetKind: "session")) == 3)
            #expect(try await count(.init(target: target, targetKind: "user")) == 0)
            let all = try await stack.audit.page(Self.first(), as: .system).rows
            #expect(all.map(\.at) == all.map(\.at).sorted(by: >))
            #expect(try await count(.init(from: all[9].at)) == 10)
            #expect(try await count(.init(to: all[9].at)) == 15)
            #expect(try await count(.init(from: all[9].at, to: all[4].at)) == 5)

            var (read, position): ([AuditEntry], PageRequest.Position?) = ([], .page(1))
            while let next = position {
                let plan = try AuditPlan(.init(), PageRequest(limit: 10, position: next))
                let page = try await stack.audit.page(plan, as: .system)
                read += page.rows
                position = page.next.map { .after($0) }
                try await stack.audit.record(AuditEvent("meanwhile", .admin))
            }
            #expect(read == all)
        }
    }

    @Test("Several sealers and many writers make one chain without gap or fork, which holds")
    func sideBySide() async throws {
        try await Stack.use { stack in
            let audit = stack.audit
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in 0..<600 { tasks.addTask { try await audit.record(AuditEvent("many_\(number)", .limit)) } }
                for _ in 0..<3 {
                    tasks.addTask {
                        let sealer = stack.sealer
                        for _ in 0..<10 { _ = try await sealer.drain() }
                    }
                }
                try await tasks.waitForAll()
            }
            _ = try await stack.sealer.drain()
            let found = try await stack.verifier.run()
            #expect((found.links, found.waiting, found.fault == nil) == (600, 0, true))
            #expect(try await stack.count("audit_unsealed") == 0)
            #expect(try await stack.count("audit_chain WHERE seq = 600") == 1)
        }
    }

    @Test("A sealer that serves seals what comes, and ends when it is told to")
    func serving() async throws {
        try await Stack.use { stack in
            let serving = Task { await stack.sealer.run() }
            for _ in 0..<3 { try await stack.audit.record(AuditEvent("served", .admin)) }
            #expect(try await eventually { try await stack.count("audit_chain") == 3 })
            serving.cancel()
            await serving.value
        }
    }

    @Test("What is not yet sealed is counted, and no fault")
    func unsealed() async throws {
        try await Stack.use { stack in
            #expect(
                try await stack.verifier.run() == AuditVerification(links: 0, head: AuditHash.origin.hexadecimal, waiting: 0, fault: nil))
            try await stack.sealedEntries(3)
            for _ in 0..<2 { try await stack.audit.record(AuditEvent("late", .admin)) }
            let found = try await stack.verifier.run()
            #expect((found.links, found.waiting, found.fault == nil) == (3, 2, true))
        }
    }

    @Test(
        "An entry that is altered, missing or moved is named, at its link",
        arguments: [
            ("UPDATE audit_log SET actor_id = gen_random_uuid() WHERE action = 'step_4'", AuditVerification.Fault.Kind.altered, 4),
            ("UPDATE audit_log SET metadata = '{\"reason\": \"x\"}' WHERE action = 'step_1'", .altered, 1),
            ("DELETE FROM audit_log WHERE action = 'step_5'", .missing, 5),
            ("UPDATE audit_log SET at = at + interval '1 us' WHERE action = 'step_2'", .missing, 2),
            ("UPDATE audit_chain SET entry_hash = sha256('x') WHERE seq = 3", .broken, 3),
            ("UPDATE audit_chain SET chain_hash = sha256('x') WHERE seq = 6", .broken, 6),
            (
                "UPDATE audit_chain SET entry_id = (SELECT id FROM audit_log WHERE action = 'other'), entry_at = (SELECT at FROM audit_log WHERE action = 'other') WHERE seq = 2",
                .altered, 2
            ),
        ] as [(String, AuditVerification.Fault.Kind, Int64)])
    func tampering(_ sql: String, _ kind: AuditVerification.Fault.Kind, _ number: Int64) async throws {
        try await Stack.use { stack in
            try await stack.sealedEntries(7)
            try await stack.audit.record(AuditEvent("other", .admin))
            let entry = number == 2 && kind == .altered ? try await stack.entry("other") : try await stack.entry("step_\(number)")
            try await stack.owner.run(sql)
            let found = try await stack.verifier.run()
            #expect(found.fault == .init(kind: kind, number: number, entry: entry))
            #expect(found.links == number - 1)
        }
    }

    @Test("Entries that went with their months are no fault where that is said, and their links still are held to the chain")
    func dropped() async throws {
        try await Stack.use { stack in
            try await stack.sealedEntries(4)
            let later = Timestamp(microseconds: Timestamp.now.microseconds + 1_000_000)
            try await stack.owner.run("DELETE FROM audit_log WHERE action IN ('step_1', 'step_2')")
            #expect(try await stack.verifier.run().fault?.kind == .missing)
            let found = try await stack.verifier.run(keptFrom: later)
            #expect((found.links, found.dropped, found.fault == nil) == (4, 2, true))
            let long = Timestamp(microseconds: Timestamp.now.microseconds - 3_600_000_000)
            #expect(try await stack.verifier.run(keptFrom: long).fault?.kind == .missing)
            try await stack.owner.run("UPDATE audit_chain SET chain_hash = sha256('x') WHERE seq = 1")
            #expect(try await stack.verifier.run(keptFrom: later).fault?.kind == .broken)
        }
    }

    @Test("A link that is taken out leaves a gap; entries cut off the end are missed by whoever kept the last link")
    func cuts() async throws {
        try await Stack.use { stack in
            try await stack.sealedEntries(5)
            let before = try await stack.verifier.run()
            let anchor = try #require(AuditAnchor("5:\(before.head)"))
            #expect(try await stack.verifier.run(anchor: anchor).fault == nil)
            try await stack.owner.run(
                "DELETE FROM audit_chain WHERE seq = 5; DELETE FROM audit_log WHERE action = 'step_5'")
            #expect(try await stack.verifier.run().fault == nil)
            #expect(try await stack.verifier.run(anchor: anchor).fault?.kind == .anchor)
            try await stack.owner.run("DELETE FROM audit_chain WHERE seq = 2")
            let found = try await stack.verifier.run()
            #expect((found.fault?.kind, found.fault?.number, found.links) == (.gap, 3, 1))
        }
    }

    @Test("An entry that was slipped in past the queue is found")
    func loose() async throws {
        try await Stack.use { stack in
            try await stack.sealedEntries(2)
            try await stack.owner.run(
                """
                ALTER TABLE audit_log DISABLE TRIGGER audit_log_awaits_seal;
                INSERT INTO audit_log (id, action, category, severity) VALUES (gen_random_uuid(), 'slipped', 'admin', 'info');
                ALTER TABLE audit_log ENABLE TRIGGER audit_log_awaits_seal
                """)
            #expect(try await stack.verifier.run().fault?.kind == .loose)
        }
    }

    @Test("An entry is taken in while its month has no partition, and moves to it without a trace in the chain")
    func months() async throws {
        try await Stack.use { stack in
            let chain = AuditChain(postgres: stack.access, timeout: .seconds(10))
            let month = try #require(try await stack.texts("SELECT to_char(now() AT TIME ZONE 'UTC', '\"audit_log_\"YYYY_MM')").first)
            try await stack.owner.run("DROP TABLE \(month)")
            try await stack.sealedEntries(3)
            #expect(try await stack.count("audit_log_other") == 3)
            try await chain.makeMonths()
            try await chain.makeMonths()
            #expect(try await stack.count("audit_log_other") == 0)
            #expect(try await stack.count(month) == 3)
            #expect(try await stack.verifier.run().fault == nil)
            let months = try await stack.texts("SELECT relid::text FROM pg_partition_tree('audit_log') WHERE isleaf")
            #expect(months.count == 5, "\(months)")
        }
    }
}
