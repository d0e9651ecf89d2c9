import ArgumentParser
import Foundation
import Gateway

@main
enum Program {
    /// Ends the process without its exit handlers: they take the runtime apart while the stores' threads may still be in it.
    static func main() async {
        var code: Int32 = 0
        do {
            var command = try KababeatCommand.parseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
        } catch {
            code = KababeatCommand.exitCode(for: error).rawValue
            let output = code == 0 ? FileHandle.standardOutput : FileHandle.standardError
            output.write(Data((KababeatCommand.fullMessage(for: error) + "\n").utf8))
        }
        fflush(nil)
        _exit(code)
    }
}

struct KababeatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kababeat",
        abstract: "One HTTP API over PostgreSQL, MongoDB and Redis, for music marketplaces.",
        discussion: "Settings come from flags, from KABABEAT_... in the environment, and from --settings FILE, in this order.",
        subcommands: [
            ServeCommand.self, MigrateCommand.self, ImportCommand.self, VerifyCommand.self, AdminCommand.self, AuditCommand.self,
            KeysCommand.self,
            ServiceKeyCommand.self, ConfigCommand.self,
        ])
}

/// What every command takes.
struct SettingsOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A file with a line KABABEAT_NAME=value for each setting.", valueName: "file"))
    var settings: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A setting by its key, such as postgres.port=5432. Wins over all.", valueName: "key=value"))
    var assignments: [String] = []

    func load(_ more: [String: String?] = [:]) throws -> Settings {
        var flags: [String: String] = [:]
        for assignment in assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, Setting.all.contains(where: { $0.key == parts[0] }) else {
                throw ValidationError("--set \(parts[0]) is not a setting; `kababeat config` lists all there are")
            }
            flags[parts[0]] = parts[1]
        }
        for case (let key, let value?) in more { flags[key] = value }
        do {
            return try Settings(flags: flags, environment: ProcessInfo.processInfo.environment, file: settings)
        } catch {
            throw ValidationError(error.description)
        }
    }
}
