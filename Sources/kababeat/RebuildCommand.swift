import ArgumentParser
import Gateway

struct RebuildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild", abstract: "Build a copy anew from what owns it.", subcommands: [Search.self])

    struct Search: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "search", abstract: "Build the search index anew, while gateways serve and write.",
            discussion: """
                Fills a new index beside the one that lists are answered from, and exchanges the two in one step. May be run again at any \
                time, also after it was killed: it then begins anew.
                """)

        @OptionGroup var options: SettingsOptions

        func run() async throws {
            let display = ProgressDisplay(unit: "beats")
            let summary = try await Commands.rebuildSearch(try options.load()) { count, fraction in
                display.update(count: count, fraction: fraction)
            }
            display.finish()
            print(summary)
        }
    }
}
