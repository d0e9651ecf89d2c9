import Foundation
import Mail
import Synchronization
import TestSupport
import Testing

/// A real mail server, `Tests/servers/mail.py`, of a test's own.
final class MailServer: Sendable {
    /// What it took, as Python's mail parser reads it.
    struct Mail: Decodable, Sendable {
        let to: [String]
        let sender: String
        let options: [String]
        let subject: String
        let text: String
        let author: String
        let reader: String
        let date: String
        let messageID: String
        let defects: [String]
        let longestLine: Int
        let strayLineEnds: Int
        let encrypted: Bool
        let user: String?
    }

    private struct Line: Decodable {
        let port: Int?
        let connection: Bool?
    }

    private struct State {
        var unread = Data()
        var port: Int?
        var connections = 0
        var mails: [Mail] = []
    }

    private let state = Mutex(State())
    private let folder: String
    private let process: Process
    private let input = Pipe()

    /// Starts one and waits until it listens. `options` are those of the script.
    static func use(_ options: String..., body: (MailServer) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mail-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let server = try await MailServer(folder: folder, options)
        defer { server.stop() }
        try await body(server)
    }

    /// As `use`, for a listener that says what `parts` hold, one part before each line that it hears.
    static func play(_ parts: [String], body: (MailServer) async throws -> Void) async throws {
        let script = FileManager.default.temporaryDirectory.appending(path: "script-\(UUID().uuidString)").path
        try parts.map { $0.replacing("\n", with: "\r\n") }.joined(separator: "---\n").write(
            toFile: script, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: script) }
        try await use("--script", script, body: body)
    }

    /// Another one in place of this, on the same port, after it died.
    func successor() async throws -> MailServer { try await MailServer(folder: folder, ["--port", String(port)]) }

    private init(folder: String, _ options: [String]) async throws {
        self.folder = folder
        process = Process()
        let python = ProcessInfo.processInfo.environment["KABABEAT_TEST_PYTHON"]
        process.executableURL = URL(fileURLWithPath: try #require(python, "scripts/test says where Python with aiosmtpd is"))
        process.arguments = ["\(Stack.root)/Tests/servers/mail.py", folder] + options
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        output.fileHandleForReading.readabilityHandler = { [weak self] handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil } else { self?.hear(data) }
        }
        try process.run()
        try #require(await eventually(within: .seconds(30)) { state.withLock { $0.port != nil } || !process.isRunning })
        try #require(process.isRunning)
    }

    func stop() { process.terminate() }

    private func hear(_ data: Data) {
        state.withLock { state in
            state.unread += data
            while let end = state.unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = state.unread[..<end]
                state.unread = Data(state.unread[state.unread.index(after: end)...])
                if let mail = try? JSONDecoder().decode(Mail.self, from: line) {
                    state.mails.append(mail)
                } else if let said = try? JSONDecoder().decode(Line.self, from: line) {
                    if let port = said.port { state.port = port }
                    if said.connection == true { state.connections += 1 }
                }
            }
        }
    }

    var port: Int { state.withLock { $0.port ?? 0 } }
    /// What it took, in order.
    var mails: [Mail] { state.withLock { $0.mails } }
    var connections: Int { state.withLock { $0.connections } }
    var isRunning: Bool { process.isRunning }

    /// What it took, once that is as much as `count`.
    func mails(_ count: Int) async throws -> [Mail] {
        try #require(await eventually { mails.count >= count }, "\(mails.count) mails came, \(count) were expected")
        return mails
    }

    var certificate: String { "\(folder)/certificate.pem" }

    func configuration(_ encryption: SMTPConfiguration.Encryption = .none, password: String? = nil) throws -> SMTPConfiguration {
        SMTPConfiguration(
            host: "127.0.0.1", port: port, encryption: encryption, credentials: password.map { .init(user: "ana", password: $0) },
            sender: try #require(Mailbox("KabaBeat <no-reply@kababeat.example>")),
            trustedCertificates: encryption == .none ? nil : certificate)
    }
}
