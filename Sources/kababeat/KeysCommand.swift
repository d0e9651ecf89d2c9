import ArgumentParser
import Gateway

struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "The keys that sign access tokens.", subcommands: [Rotate.self])

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate", abstract: "Make a new key and let the others fade out; nobody is logged out.",
            discussion: "The new key signs once every instance knows it, after two minutes.")

        @OptionGroup var options: SettingsOptions
        @Flag(
            help: """
                For a key that has leaked, or was sealed with a secret that is lost: the others count for nothing from now on, which every \
                instance knows within a minute. Clients have to refresh.
                """) var atOnce = false

        func run() async throws { print(try await Commands.rotateSigningKeys(try options.load(), atOnce: atOnce)) }
    }
}
