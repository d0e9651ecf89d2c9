import ArgumentParser
import Foundation
import Gateway

struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Compare copies in MongoDB and Redis with what they are made of.",
        discussion: """
            Prints how many copies are missing, stale, orphaned or different, and names some; exits with 1 where there are any, and with \
            69 where it could not look. Beats that are being delivered are passed over. Of the cache, some hundreds of bodies are looked \
            at. With --repair, what is wrong is written anew through the outbox; content that MongoDB has lost is then given up, and what \
            no beat stands for is taken away.
            """)

    @OptionGroup var options: SettingsOptions
    @Flag(help: "Have what is wrong written anew.") var repair = false
    @Option(help: ArgumentHelp("Only beats that were changed in the last hours.", valueName: "hours")) var since: Int?

    func validate() throws {
        let range = Commands.hoursCompared
        guard since.map(range.contains) ?? true else {
            throw ValidationError("--since is a whole number of hours from \(range.lowerBound) to \(range.upperBound)")
        }
    }

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
