import ArgumentParser
import Gateway

struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate", abstract: "Bring both databases to what sql/ and mongo/ say.",
        discussion: "Logs in to PostgreSQL as the owner (postgres.owner), and makes the gateway's role where it is missing.")

    @OptionGroup var options: SettingsOptions
    @Flag(help: "Say what would be done, and do nothing.") var dryRun = false

    func run() async throws {
        try await Commands.migrate(try options.load(), dryRun: dryRun) { print($0) }
    }
}
