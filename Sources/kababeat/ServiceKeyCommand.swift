import ArgumentParser
import Gateway

struct ServiceKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service-key", abstract: "Keys for jobs and dashboards.", subcommands: [Create.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Make a service key and print it: it is shown this once.",
            discussion: "For the first dashboard, before there is an admin; admins list and revoke keys at /api/admin/service-keys.")

        @OptionGroup var options: SettingsOptions
        @Option(help: "What the key is for, as lists show it.") var name: String
        @Option(help: "What it may be used for, such as analytics:read; may be given several times.") var scope: [String]
        @Option(help: "Days until it expires; never, unless given.") var days: Int?

        func validate() throws {
            let range = Commands.daysOfServiceKey
            guard days.map(range.contains) ?? true else {
                throw ValidationError("--days is a whole number from \(range.lowerBound) to \(range.upperBound)")
            }
        }

        func run() async throws {
            print(try await Commands.createServiceKey(try options.load(), name: name, scopes: scope, days: days))
        }
    }
}
