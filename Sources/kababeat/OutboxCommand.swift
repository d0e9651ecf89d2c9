import ArgumentParser
import Gateway

struct OutboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "outbox", abstract: "Changes on their way to their copies.",
        discussion: "Without a subcommand: how many wait, how many were given up, and how old the oldest is, by kind.",
        subcommands: [Depth.self, Dead.self, Replay.self, Purge.self], defaultSubcommand: Depth.self)

    struct Depth: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "depth", abstract: "How many changes wait, how many were given up, and how old the oldest is.")

        @OptionGroup var options: SettingsOptions

        func run() async throws { print(try await Commands.outboxDepths(try options.load())) }
    }

    struct Dead: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "dead", abstract: "List changes that a store refused so often that nobody tries again, with the reason.",
            discussion: "docs/operations.md says what each reason means, and what to do.")

        @OptionGroup var options: SettingsOptions
        @Option(help: ArgumentHelp("Only those above this id, as the last line of a listing has it.", valueName: "id")) var after: Int64 = 0
        @Option(help: "How many at most.") var limit = 50

        func validate() throws {
            guard after >= 0 else { throw ValidationError("--after is an id, or 0") }
            let range = Commands.deadLettersListed
            guard range.contains(limit) else {
                throw ValidationError("--limit is a whole number from \(range.lowerBound) to \(range.upperBound)")
            }
        }

        func run() async throws { print(try await Commands.deadLetters(try options.load(), after: after, limit: limit)) }
    }

    /// Which dead letters: some by id, or all.
    struct Choice: ParsableArguments {
        @Argument(help: "Ids, as `kababeat outbox dead` lists them.") var ids: [Int64] = []
        @Flag(help: "All of them.") var all = false

        func validate() throws {
            guard ids.isEmpty == all else { throw ValidationError("name ids, or --all; one of the two") }
            guard ids.count <= Commands.deadLettersChanged else {
                throw ValidationError("at most \(Commands.deadLettersChanged) ids at once")
            }
            guard ids.allSatisfy({ $0 > 0 }) else { throw ValidationError("an id is a whole number from 1 on") }
        }

        /// Nil for all.
        var chosen: [Int64]? { all ? nil : ids }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay", abstract: "Have dead letters tried again, once what refused them is mended.",
            discussion: "Gateways that run deliver them by themselves. The audit log says that it was done from the command line.")

        @OptionGroup var options: SettingsOptions
        @OptionGroup var choice: Choice

        func run() async throws {
            print(try await Commands.changeDeadLetters(try options.load(), .replayed, ids: choice.chosen))
        }
    }

    struct Purge: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "purge", abstract: "Give dead letters up: their copies stay as they are until the next change.",
            discussion: "For what is gone from PostgreSQL. `kababeat verify --repair` mends copies that are wrong afterwards.")

        @OptionGroup var options: SettingsOptions
        @OptionGroup var choice: Choice

        func run() async throws {
            print(try await Commands.changeDeadLetters(try options.load(), .purged, ids: choice.chosen))
        }
    }
}
