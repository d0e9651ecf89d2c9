import Contract
import Credentials
import Foundation
import PostgresClient
import TestSupport
import Testing

@testable import DataPlane
@testable import Mail

extension Stack {
    private static let secret = IdentitySecret("a secret of thirty-two bytes and more") ?? .development
    static let mailSeal = secret.seal(for: .mails)
    static let mailLinks = MailLinks(base: "https://kababeat.example/")

    /// Leaves a mail as the sign-in desk does. `rollingBack` lets the transaction fail afterwards.
    func enqueue(_ template: MailTemplate = .passwordChanged(username: "ana"), to recipient: String, rollingBack: Bool = false) async throws
    {
        struct Undone: Error {}
        do {
            try await postgres.transaction(settings: .authenticator, deadline: Self.soon) { transaction in
                try await MailQueue(seal: Self.mailSeal, links: Self.mailLinks).enqueue(template, to: recipient, in: transaction)
                if rollingBack { throw Undone() }
            }
        } catch is Undone {}
    }

    func delivery(by server: MailServer?, lease: Duration? = nil, seal: Seal = Stack.mailSeal) throws -> MailDelivery {
        var lane = OutboxLane.mails
        lane.idle = .milliseconds(50)
        if let lease { lane.lease = lease }
        return MailDelivery(
            postgres: PostgresAccess(postgres, observer: recorder), seal: seal,
            sender: try server.map { try SMTPSender(try $0.configuration()) }, cache: cache(), observer: recorder, lane: lane)
    }

    /// Lets deliveries run until `condition` holds, or for ten seconds.
    func deliver(by deliveries: MailDelivery..., until condition: () async throws -> Bool) async throws {
        let running = deliveries.map { delivery in Task { await delivery.run() } }
        #expect(try await eventually(condition))
        for delivery in deliveries { await delivery.stop(within: .seconds(10)) }
        for task in running { await task.value }
    }

    func mailsInOutbox() async throws -> [String] {
        try await texts(
            """
            SELECT concat_ws(' ', split_part(recipient, '@', 1), state, attempts, coalesce(last_error, '-'))
            FROM outbox JOIN mails ON mails.id = aggregate_id WHERE aggregate_type = 'mail' ORDER BY 1
            """)
    }
}

@Suite(.timeLimit(.minutes(5))) struct MailDeliveryTests {
    @Test func aMailFollowsItsCommitAndOnlyThat() async throws {
        try await Stack.use { stack in
            try await MailServer.use { server in
                let token = OpaqueToken()
                try await stack.enqueue(to: "undone@example.org", rollingBack: true)
                try await stack.enqueue(.verifyAddress(username: "ana", token: token, validity: .seconds(3600)), to: "ana@example.org")
                let stored = try await stack.texts("SELECT encode(sealed_text, 'escape') || recipient || subject || template FROM mails")
                #expect(stored.count == 1)
                #expect(!stored[0].contains(token.secret))
                try await stack.deliver(by: stack.delivery(by: server)) { try await stack.count("outbox") == 0 }
                let mails = try await server.mails(1)
                #expect(mails.map(\.to) == [["ana@example.org"]])
                #expect(mails[0].text.contains("https://kababeat.example/verify-email#token=\(token.secret)\n"))
                #expect(mails[0].subject == "Confirm your e-mail address")
                let id = try await stack.texts("SELECT id::text FROM mails")[0]
                #expect(mails[0].messageID == "<\(id)@kababeat.example>")
                #expect(try await stack.count("mails WHERE sent_at IS NOT NULL AND sealed_text IS NULL AND recipient IS NULL") == 1)
                #expect(stack.recorder.count { if case .mailSent = $0 { true } else { false } } == 1)
            }
        }
    }

    @Test func eachMailIsSentOnceByHoweverManyGatewaysThatComeAndGo() async throws {
        try await Stack.use { stack in
            try await MailServer.use { server in
                for number in 0..<60 { try await stack.enqueue(to: "reader\(number)@example.org") }
                var random = SeededGenerator()
                while try await stack.count("outbox") > 0 {
                    let deliveries = [try stack.delivery(by: server), try stack.delivery(by: server)]
                    let running = deliveries.map { delivery in Task { await delivery.run() } }
                    // Not a wait for anything: the moment at which both are stopped, another one each round.
                    try await Task.sleep(for: .milliseconds(Int.random(in: 5...60, using: &random)))
                    for delivery in deliveries { await delivery.stop(within: .seconds(10)) }
                    for task in running { await task.value }
                    try await stack.makeDue()
                }
                let mails = try await server.mails(60)
                #expect(Set(mails.map(\.to)).count == 60, "\(random)")
                #expect(mails.count == 60, "\(random)")
                #expect(server.connections < 60)
            }
        }
    }

    @Test func aCrashBetweenSendingAndMarkingCostsASecondCopyUnderTheSameName() async throws {
        try await Stack.use { stack in
            try await MailServer.use { server in
                try await stack.enqueue(to: "ana@example.org")
                // Another transaction holds the row, so that the mail is sent and cannot be marked; then the process is gone.
                let first = try stack.delivery(by: server)
                try await stack.owner.transaction(deadline: Stack.soon) { blocker in
                    _ = try await blocker.query(PostgresStatement<Void>("SELECT FROM mails FOR UPDATE"))
                    let running = Task { await first.run() }
                    _ = try await server.mails(1)
                    running.cancel()
                    await running.value
                    // What commits by itself is not cancelled; the server ends it, as it would if its client's machine were gone.
                    let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    try await stack.owner.run("SELECT pg_terminate_backend(pid) FROM \(waiting)")
                    #expect(try await eventually { try await stack.count(waiting) == 0 })
                }
                try await stack.owner.run("UPDATE outbox SET claimed_until = now() WHERE claimed_until IS NOT NULL")
                try await stack.makeDue()
                try await stack.deliver(by: stack.delivery(by: server)) { try await stack.count("outbox") == 0 }
                let mails = try await server.mails(2)
                #expect(mails.count == 2)
                #expect(Set(mails.map(\.messageID)).count == 1)
                #expect(Set(mails.map(\.date)).count == 1)
            }
        }
    }

    @Test func whatTheServerRefusesForGoodIsADeadLetterAtOnceAndTheRestIsTriedAgain() async throws {
        try await Stack.use { stack in
            try await MailServer.use { server in
                for recipient in ["refused-550", "later-451", "spam-554", "fine"] {
                    try await stack.enqueue(to: "\(recipient)@example.org")
                }
                try await stack.enqueue(to: "no<good>@example.org")
                try await stack.deliver(by: stack.delivery(by: server)) { try await stack.count("outbox WHERE attempts = 0") == 0 }
                #expect(
                    try await stack.mailsInOutbox() == [
                        "later-451 pending 1 smtp_recipient_451_4.7.1", "no<good> dead 1 mail_recipient_invalid",
                        "refused-550 dead 1 smtp_recipient_550_5.1.1", "spam-554 dead 1 smtp_data_554_5.7.1",
                    ])
                #expect(
                    try await stack.count(
                        "outbox WHERE state = 'pending' AND next_at BETWEEN now() + interval '2 s' AND now() + interval '7 s'") == 1)
                #expect(try await server.mails(1).map(\.to) == [["fine@example.org"]])
                let said = stack.recorder.all.map { "\($0)" }.joined()
                #expect(!said.contains("example.org") && !said.contains("password of your account"))
            }
        }
    }

    @Test func aServerThatIsAwayCostsNoAttemptAndMailsGoOutWhenItIsBack() async throws {
        try await Stack.use { stack in
            try await MailServer.use { server in
                try await stack.enqueue(to: "dies@example.org")
                try await stack.deliver(by: stack.delivery(by: server)) { try await stack.count("outbox WHERE attempts = 1") == 1 }
                #expect(try await stack.mailsInOutbox() == ["dies pending 1 smtp_closed"])
                try await stack.enqueue(to: "ana@example.org")
                try await stack.makeDue()
                try await stack.deliver(by: stack.delivery(by: server)) {
                    stack.recorder.count { if case .relayFailed = $0 { true } else { false } } > 0
                }
                #expect(try await stack.mailsInOutbox() == ["ana pending 0 -", "dies pending 1 smtp_closed"])
                let successor = try await server.successor()
                defer { successor.stop() }
                try await stack.owner.run("UPDATE mails SET recipient = 'bob@example.org' WHERE recipient LIKE 'dies%'")
                try await stack.makeDue()
                try await stack.deliver(by: stack.delivery(by: successor)) { try await stack.count("outbox") == 0 }
                #expect(Set(try await successor.mails(2).map(\.to)) == [["ana@example.org"], ["bob@example.org"]])
                #expect(server.mails.isEmpty)
            }
        }
    }

    @Test func aSlowMailServerHoldsUpNoBeat() async throws {
        try await Stack.use { stack in
            try await MailServer.use { server in
                for _ in 0..<8 { try await stack.enqueue(to: "slow@example.org") }
                let delivery = try stack.delivery(by: server)
                let relay = stack.relay()
                let running = [Task { await delivery.run() }, Task { await relay.run() }]
                #expect(await eventually { server.connections > 0 })
                let clock = ContinuousClock()
                for number in 0..<5 {
                    let beat = try await stack.makeBeat(number)
                    relay.poke()
                    let start = clock.now
                    #expect(try await eventually { try await stack.count("outbox WHERE aggregate_id = '\(beat)'") == 0 })
                    let duration = start.duration(to: clock.now)
                    #expect(duration < .milliseconds(500))
                }
                // Nor does what waits for a mail server keep an import from seeing the end of its own.
                if try await stack.count("outbox") > 0 { try await stack.relay().drain(within: .zero) }
                relay.stop()
                _ = try await server.mails(8)
                await delivery.stop(within: .seconds(10))
                for task in running { await task.value }
                #expect(server.connections <= 4)
            }
        }
    }

    @Test func whereNoServerIsKnownMailsWaitAndTheLogSaysSo() async throws {
        try await Stack.use { stack in
            try await stack.enqueue(to: "ana@example.org")
            let delivery = try stack.delivery(by: nil)
            await delivery.run()
            let watching = Task { await delivery.watch() }
            #expect(await eventually { delivery.backlog == .init(waiting: 1, dead: 0) })
            watching.cancel()
            await watching.value
            #expect(stack.recorder.count { if case .mailsHeld(1) = $0 { true } else { false } } == 1)
            #expect(try await stack.mailsInOutbox() == ["ana pending 0 -"])
        }
    }

    @Test func aTextThatDoesNotOpenIsADeadLetter() async throws {
        try await Stack.use { stack in
            try await MailServer.use { server in
                try await stack.enqueue(to: "ana@example.org")
                let other = IdentitySecret.development.seal(for: .mails)
                try await stack.deliver(by: stack.delivery(by: server, seal: other)) {
                    try await stack.mailsInOutbox() == ["ana dead 1 mail_does_not_open"]
                }
                #expect(server.connections == 0)
            }
        }
    }

    @Test func oldMailsAreForgottenUnlessTheyStillWait() async throws {
        try await Stack.use { stack in
            for recipient in ["old", "old-and-waiting", "new"] { try await stack.enqueue(to: "\(recipient)@example.org") }
            try await stack.owner.run(
                """
                UPDATE mails SET created_at = now() - interval '31 days' WHERE recipient LIKE 'old%';
                DELETE FROM outbox USING mails WHERE mails.id = aggregate_id AND recipient NOT LIKE '%waiting%'
                """)
            let delivery = try stack.delivery(by: nil)
            let watching = Task { await delivery.watch() }
            #expect(try await eventually { try await stack.count("mails") == 2 })
            watching.cancel()
            await watching.value
            #expect(try await stack.count("mails WHERE recipient LIKE 'old@%'") == 0)
        }
    }
}
