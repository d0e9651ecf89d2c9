import ArgumentParser
import Foundation
import Gateway

/// What every command takes.
struct SettingsOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A file with a line KABABEAT_NAME=value for each setting.", valueName: "file"))
    var settings: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A setting by its key, such as postgres.port=5432. Wins over all.", valueName: "key=value"))
    var assignments: [String] = []

    func load(_ more: [String: String?] = [:]) throws -> Settings {
        var flags: [String: String] = [:]
        for assignment in assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, Setting.all.contains(where: { $0.key == parts[0] }) else {
                throw ValidationError("--set \(parts[0]) is not a setting; `kababeat config` lists all there are")
            }
            flags[parts[0]] = parts[1]
        }
        for case (let key, let value?) in more { flags[key] = value }
        do {
            return try Settings(flags: flags, environment: ProcessInfo.processInfo.environment, file: settings)
        } catch {
            throw ValidationError(error.description)
        }
    }
}
