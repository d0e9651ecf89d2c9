import Contract
import Foundation
import PostgresClient
import TestSupport
import Testing

@testable import DataPlane
@testable import Gateway

/// What the command line does and says, without its words for arguments.
@Suite(.timeLimit(.minutes(3))) struct CommandTests {
    private static let insertDead = """
        INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, state, next_at, attempts, last_error, created_at)
        SELECT 'beat', gen_random_uuid(), 3, 'upsert', 'dead', NULL, 8, 'mongo_validation', now() - interval '3 hours'
        FROM generate_series(1, 3)
        """

    private static func deadIDs(_ stack: Stack) async throws -> [Int64] {
        try await OutboxAdministration(postgres: PostgresAccess(stack.postgres, observer: stack.recorder)).deadLetters(after: 0, limit: 10)
            .map(\.id)
    }

    // MARK: The outbox

    @Test func theOutboxIsCountedByKindAndState() async throws {
        try await Stack.use { stack in
            let settings = try RunningGateway.settings(stack)
            #expect(try await Commands.outboxDepths(settings) == "the outbox is empty: every change is delivered")
            try await stack.owner.run(Self.insertDead)
            try await stack.owner.run(
                """
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, created_at)
                VALUES ('user', gen_random_uuid(), 1, 'upsert', now() - interval '5 minutes')
                """)
            let lines = try await Commands.outboxDepths(settings).split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(
                lines == [["kind", "state", "rows", "oldest"], ["beat", "dead", "3", "3", "h"], ["user", "waiting", "1", "5", "min"]])
        }
    }

    @Test func deadLettersAreListedWithTheirReasonsPageByPage() async throws {
        try await Stack.use { stack in
            let settings = try RunningGateway.settings(stack)
            #expect(try await Commands.deadLetters(settings, after: 0, limit: 2) == "there are no dead letters")
            try await stack.owner.run(Self.insertDead)
            let ids = try await Self.deadIDs(stack)
            let first = try await Commands.deadLetters(settings, after: 0, limit: 2)
            #expect(first.contains("\(ids[0])  beat  ") && first.contains("mongo_validation") && !first.contains("\(ids[2])  beat"))
            #expect(first.hasSuffix("there are more: --after \(ids[1])"))
            let rest = try await Commands.deadLetters(settings, after: ids[1], limit: 2)
            #expect(rest.contains("\(ids[2])  beat  ") && !rest.contains("there are more"))
        }
    }

    @Test func deadLettersThatAreNamedAreReplayedAndAllThatAreLeftPurged() async throws {
        try await Stack.use { stack in
            let settings = try RunningGateway.settings(stack)
            try await stack.owner.run(Self.insertDead)
            let ids = try await Self.deadIDs(stack)
            let replayed = try await Commands.changeDeadLetters(settings, .replayed, ids: [ids[0], ids[0], 1 << 60])
            #expect(replayed.hasPrefix("1 dead letters wait") && replayed.contains("1 of those that were named are none"))
            #expect(try await stack.count("outbox WHERE state = 'pending' AND attempts = 0 AND last_error IS NULL") == 1)
            let purged = try await Commands.changeDeadLetters(settings, .purged, ids: nil)
            #expect(purged.hasPrefix("2 dead letters are given up"))
            #expect(try await stack.count("outbox") == 1)
            #expect(try await stack.count("audit_log WHERE action = 'dead_letters_replayed' AND metadata->>'count' = '1'") == 1)
            #expect(try await stack.count("audit_log WHERE action = 'dead_letters_purged' AND metadata->>'reason' = 'command line'") == 1)
        }
    }

    // MARK: What stops a command

    private static func failure(_ body: () async throws -> String) async throws -> CommandFailure {
        try #require(await #expect(throws: CommandFailure.self) { _ = try await body() })
    }

    @Test func aStoreThatDoesNotAnswerIsNamedWithItsAddressAndWhatToDo() async throws {
        try await Stack.use { stack in
            let port = try closedPort()
            let postgres = try RunningGateway.settings(stack, ["POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "\(port)"])
            for failure in [
                try await Self.failure { try await Commands.grantAdmin(postgres, email: "nora@example.com") },
                try await Self.failure { try await Commands.outboxDepths(postgres) },
                try await Self.failure {
                    try await Commands.migrate(postgres, dryRun: true) { _ in }
                    return ""
                },
            ] {
                #expect(failure.status == .unavailable)
                #expect(failure.description.contains("PostgreSQL at 127.0.0.1:\(port) does not answer: "))
                #expect(failure.description.contains("scripts/up") && failure.description.contains("KABABEAT_POSTGRES_PORT"))
            }
            let uri = "mongodb://ana:s3cret@127.0.0.1:\(port)/?replicaSet=rs0&serverSelectionTimeoutMS=500"
            let failure = try await Self.failure {
                try await Commands.verify(try RunningGateway.settings(stack, ["MONGO_URI": uri]), hours: nil, repair: false) { _, _ in }
                    .text
            }
            #expect(failure.status == .unavailable && failure.description.contains("MongoDB at 127.0.0.1:\(port) does not answer: "))
            #expect(failure.description.contains("KABABEAT_MONGO_URI") && !failure.description.contains("s3cret"))
        }
    }

    @Test func aLoginThatIsRefusedIsSaidWithWhoTried() async throws {
        try await Stack.use { stack in
            let settings = try RunningGateway.settings(stack, ["POSTGRES_USER": "nobody_of_that_name"])
            let failure = try await Self.failure { try await Commands.outboxDepths(settings) }
            #expect(failure.status == .unavailable && failure.description.contains("does not let nobody_of_that_name in: "))
            #expect(failure.description.contains("KABABEAT_POSTGRES_PASSWORD") && failure.description.contains("`kababeat migrate`"))
            #expect(!failure.description.contains(Stack.password))
        }
    }

    @Test func aDatabaseThatWasNeverMigratedIsSaidToBe() async throws {
        try await Stack.use { stack in
            let name = "\(stack.name)_bare"
            try await stack.owner.run("CREATE DATABASE \(name)")
            let settings = try RunningGateway.settings(stack, ["POSTGRES_DATABASE": name])
            let failure = try await Self.failure { try await Commands.grantAdmin(settings, email: "nora@example.com") }
            try await stack.owner.run("DROP DATABASE \(name) WITH (FORCE)")
            #expect(failure.status == .unavailable && failure.description.hasPrefix("the databases lack "))
            #expect(failure.description.hasSuffix("run `kababeat migrate` first"))
        }
    }

    @Test func whatIsNotThereIsNoOutage() async throws {
        try await Stack.use { stack in
            let settings = try RunningGateway.settings(stack)
            let failure = try await Self.failure { try await Commands.grantAdmin(settings, email: "nobody@example.com") }
            #expect(failure.status == .failed && failure.description.contains("no such account"))
        }
    }
}
