import ArgumentParser
import Gateway

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "What may have to be accounted for.", subcommands: [AuditVerifyCommand.self])
}

struct AuditVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Prove that no entry of the audit log was changed, moved or taken out.",
        discussion: """
            Walks the log's hash chain from its first link and names the first entry that is missing, altered or out of its place; exits \
            with 1 where there is one, and with 69 where it could not look. The last link, which is printed, is worth keeping elsewhere: given back with --after, it \
            proves that nothing was cut off the end since.
            """)

    @OptionGroup var options: SettingsOptions
    @Option(help: ArgumentHelp("The last link of an earlier run.", valueName: "number:hash")) var after: String?

    @Option(help: ArgumentHelp("The first month whose entries are kept; older ones may have been dropped.", valueName: "YYYY-MM"))
    var keptFrom: String?

    func run() async throws {
        let display = ProgressDisplay(unit: "entries")
        defer { display.finish() }
        let summary = try await Commands.verifyAudit(try options.load(), after: after, keptFrom: keptFrom) { count, fraction in
            display.update(count: count, fraction: fraction)
        }
        display.finish()
        print(summary)
    }
}
