import ArgumentParser
import CrashPoints
import Foundation

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
            ServeCommand.self, MigrateCommand.self, ImportCommand.self, VerifyCommand.self, RebuildCommand.self, AdminCommand.self,
            AuditCommand.self, KeysCommand.self, ServiceKeyCommand.self, ConfigCommand.self,
        ] + (CrashPoint.variable == nil ? [] : [CrashPointsCommand.self]))
}
