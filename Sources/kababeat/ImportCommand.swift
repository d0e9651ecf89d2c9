import ArgumentParser
import Foundation
import Gateway

struct ImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Import a catalogue: one beat a line, as docs/catalogue-format.md has it.",
        discussion: "May be run again at any time, also after it was killed: what is there already is not written twice.")

    @OptionGroup var options: SettingsOptions
    @Argument(help: "The NDJSON file.") var file: String
    @Flag(help: "Report lines that cannot be imported, and go on.") var skipInvalid = false

    func run() async throws {
        let display = ProgressDisplay(unit: "lines")
        let path = file
        let onInvalid: @Sendable (Int, String) -> Void = { number, reason in display.line("\(path):\(number): \(reason)") }
        let summary = try await Commands.importCatalogue(
            try options.load(), path: path, onInvalid: skipInvalid ? onInvalid : nil
        ) { lines, fraction in display.update(count: lines, fraction: fraction) }
        display.finish()
        print(summary)
    }
}
