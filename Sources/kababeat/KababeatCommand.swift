import ArgumentParser
import CrashPoints
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
            code = status(of: error)
            let output = code == 0 ? FileHandle.standardOutput : FileHandle.standardError
            output.write(Data((KababeatCommand.fullMessage(for: error) + "\n").utf8))
        }
        fflush(nil)
        _exit(code)
    }

    private static func status(of error: any Error) -> Int32 {
        switch error {
        case let failure as CommandFailure: failure.status.rawValue
        case is SettingsError: CommandFailure.Status.unusable.rawValue
        default: KababeatCommand.exitCode(for: error).rawValue
        }
    }
}

struct KababeatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kababeat",
        abstract: "One HTTP API over PostgreSQL, MongoDB and Redis, for music marketplaces.",
        discussion: """
            Settings come from flags, from KABABEAT_... in the environment, and from --settings FILE, in this order.

            Ends with 0 when what was asked for is done, and all is well; 1 where something is not as it should be, or cannot be done; \
            64 where an argument or a setting cannot be used; 69 where a store does not answer, or was never migrated, so that nothing \
            is said of what is in it; 70 for what nobody foresaw.
            """,
        subcommands: [
            ServeCommand.self, MigrateCommand.self, ImportCommand.self, VerifyCommand.self, RebuildCommand.self, OutboxCommand.self,
            AdminCommand.self, AuditCommand.self, KeysCommand.self, ServiceKeyCommand.self, ConfigCommand.self,
        ] + (CrashPoint.variable == nil ? [] : [CrashPointsCommand.self]))
}
