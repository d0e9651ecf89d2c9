import ArgumentParser
import CrashPoints

/// For the suite that kills the process at every one of them; in debug builds only.
struct CrashPointsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash-points", abstract: "List the places where tests kill the process.", shouldDisplay: false)

    func run() { for point in CrashPoint.allCases { print(point.rawValue) } }
}
