import Foundation
import RedisClient
import Synchronization
import TestSupport
import Testing

@testable import DataPlane

/// A Redis of one test's own, to be frozen, killed and brought back with what it had saved before.
final class OwnRedis: Sendable {
    let configuration: RedisConfiguration
    private let folder: String
    private let running = Mutex<Process?>(nil)

    private init(port: Int) throws {
        configuration = RedisConfiguration(host: "127.0.0.1", port: port)
        folder = FileManager.default.temporaryDirectory.appending(path: "redis-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    /// Runs one for `body`; nothing of it is left afterwards.
    static func run(_ body: (OwnRedis) async throws -> Void) async throws {
        let redis = try OwnRedis(port: closedPort())
        try redis.start()
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(redis)) } catch { outcome = .failure(error) }
        redis.thaw()
        redis.kill()
        try FileManager.default.removeItem(atPath: redis.folder)
        try outcome.get()
    }

    func client() -> RedisClient { RedisClient(configuration, reactor: Stack.reactor) }

    /// Starts it with what it saved last.
    func start() throws {
        try running.withLock { running in
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = [
                "redis-server", "--port", "\(configuration.port)", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly",
                "no",
            ]
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            running = process
        }
    }

    func kill() { signal(SIGKILL) { $0.waitUntilExit() } }
    func freeze() { signal(SIGSTOP) }
    func thaw() { signal(SIGCONT) }

    private func signal(_ number: Int32, then: (Process) -> Void = { _ in }) {
        running.withLock { running in
            guard let running, running.isRunning else { return }
            Foundation.kill(running.processIdentifier, number)
            then(running)
        }
    }
}
