import ArgumentParser
import Foundation
import Gateway

struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Compare the copies in MongoDB with what Postgres says.",
        discussion: """
            Prints how many copies are missing, stale, orphaned or different, and names some; exits with 1 where there are any. Beats \
            that are being delivered are passed over. With --repair, what is wrong is written anew through the outbox.
            """)

    @OptionGroup var options: SettingsOptions
    @Flag(help: "Have what is wrong written anew.") var repair = false
    @Option(help: ArgumentHelp("Only beats that were changed in the last hours.", valueName: "hours")) var since: Int?

    func run() async throws {
        let display = ProgressDisplay(unit: "beats")
        let found = try await Commands.verify(
            try options.load(), hours: since, repair: repair
        ) { count, fraction in display.update(count: count, fraction: fraction) }
        display.finish()
        print(found.text)
        if repair { print("\(found.repaired) beats were written anew") }
        if found.total > 0, !repair { throw ExitCode(1) }
    }
}
