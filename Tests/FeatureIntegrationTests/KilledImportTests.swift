import Foundation
import PostgresClient
import RedisClient
import TestSupport
import Testing

@testable import Catalogue

/// The command line's own binary, as `scripts/test` builds it.
private let binary = ProcessInfo.processInfo.environment["KABABEAT_BINARY"] ?? "\(Stack.root)/.build/debug/kababeat"

@Suite(.timeLimit(.minutes(5)), .enabled(if: FileManager.default.isExecutableFile(atPath: binary))) struct KilledImportTests {
    @Test func anImportThatWasKilledAgainAndAgainEndsWhereAnUndisturbedOneDoes() async throws {
        try await Stack.useTwo { undisturbed, killed in
            var random = SeededGenerator()
            var catalogue = GeneratedCatalogue(count: 4000, &random, creators: 400)
            try catalogue.addAudio(to: [0, 2, 1999, 3999], size: 2_000_000, in: killed.folder)
            let path = try catalogue.write(in: killed.folder)
            let clock = ContinuousClock()
            let duration = try await clock.measure { try await undisturbed.importFile(path) }
            var states: [String] = []
            for round in 0..<6 {
                // Most while much is still to do, the last ones at any moment up to the end.
                let moment = duration * Double.random(in: round < 4 ? 0.1...0.4 : 0.2...1, using: &random)
                let status = try await run(path, killed, killedAfter: moment)
                states.append("\(status): \(try await killed.count("beats")) beats, \(try await killed.count("outbox")) waiting")
                // What a dead relay had claimed is free after its lease: set back instead of waited for.
                try await killed.owner.run("UPDATE outbox SET claimed_until = now() WHERE claimed_until IS NOT NULL")
            }
            #expect(try await run(path, killed, killedAfter: nil) == 0, "\(random)")

            #expect(states.first?.hasPrefix("-9: ") == true, "\(states)")
            let (one, other) = (try await Snapshot(undisturbed), try await Snapshot(killed))
            #expect(one.beats == other.beats, "\(random) \(states)")
            #expect(one.users == other.users, "\(random)")
            #expect(one.contents == other.contents, "\(random)")
            #expect(one.index == other.index, "\(random)")
            #expect(one.originals == other.originals, "\(random)")
            #expect(try await Snapshot.leftovers(killed) == Snapshot.clean, "\(random)")
        }
    }

    /// Runs `kababeat import`, and kills it `moment` after its start; answers its status, or the signal's number below zero.
    private func run(_ path: String, _ stack: Stack, killedAfter moment: Duration?) async throws -> Int {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: binary)
        process.arguments = ["import", path]
        let redis = try Stack.redisConfiguration()
        process.environment = [
            "KABABEAT_POSTGRES_HOST": stack.server.host, "KABABEAT_POSTGRES_PORT": String(stack.server.port),
            "KABABEAT_POSTGRES_DATABASE": stack.name, "KABABEAT_POSTGRES_USER": stack.server.user,
            "KABABEAT_POSTGRES_PASSWORD": stack.server.password, "KABABEAT_MONGO_URI": stack.mongoURI,
            "KABABEAT_MONGO_DATABASE": stack.name,
            "KABABEAT_REDIS_HOST": redis.host, "KABABEAT_REDIS_PORT": String(redis.port), "KABABEAT_SQL_DIRECTORY": "\(Stack.root)/sql",
            "KABABEAT_MONGO_DIRECTORY": "\(Stack.root)/mongo", "KABABEAT_OPENAPI_FILE": "\(Stack.root)/openapi.yaml",
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "",
        ]
        let output = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = output
        let (endings, ended) = AsyncStream.makeStream(of: Int.self)
        process.terminationHandler = { process in
            let status = Int(process.terminationStatus)
            ended.yield(process.terminationReason == .uncaughtSignal ? -status : status)
            ended.finish()
        }
        try process.run()
        let identifier = process.processIdentifier
        let reaper = moment.map { moment in
            Task {
                try await Task.sleep(for: moment)
                kill(identifier, SIGKILL)
            }
        }
        var status = -1
        for await ending in endings { status = ending }
        reaper?.cancel()
        if status > 0 {
            let said = try output.fileHandleForReading.readToEnd().map { String(decoding: $0, as: UTF8.self) } ?? ""
            Issue.record("kababeat import failed with \(status): \(said)")
        }
        return status
    }
}
