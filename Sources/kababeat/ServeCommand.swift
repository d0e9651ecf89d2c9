import ArgumentParser
import Gateway

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", abstract: "Serve the API.")

    @OptionGroup var options: SettingsOptions
    @Option(help: "Address to listen on.") var host: String?
    @Option(help: "Port to listen on.") var port: String?

    func run() async throws {
        let settings = try options.load(["http.host": host, "http.port": port])
        try await Commands.serve(settings)
    }
}
