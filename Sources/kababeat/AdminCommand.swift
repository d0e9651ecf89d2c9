import ArgumentParser
import Gateway

struct AdminCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "admin", abstract: "Accounts that run the market.", subcommands: [Grant.self])

    struct Grant: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "grant", abstract: "Make an account an admin, from its next request on.",
            discussion: "For the first one; after that admins make and unmake each other at /api/admin/users.")

        @OptionGroup var options: SettingsOptions
        @Argument(help: "The account's e-mail address.") var email: String

        func run() async throws { print(try await Commands.grantAdmin(try options.load(), email: email)) }
    }
}
