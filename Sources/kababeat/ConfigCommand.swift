import ArgumentParser
import Gateway

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "config", abstract: "Print what is in force; secrets are not shown.")

    @OptionGroup var options: SettingsOptions

    func run() throws {
        let listing = try options.load().listing
        let width = listing.map(\.setting.variable.count).max() ?? 0
        for (setting, value) in listing {
            let name = setting.variable + String(repeating: " ", count: width - setting.variable.count)
            print("\(name)  \(value.isEmpty ? "-" : value)")
            print("\(String(repeating: " ", count: width))  # \(setting.help)")
        }
    }
}
