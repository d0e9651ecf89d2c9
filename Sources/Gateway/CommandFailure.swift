/// Why a command, or the start of the gateway, cannot go on: told to whoever typed it.
public struct CommandFailure: Error, CustomStringConvertible {
    /// What the process ends with, as `kababeat --help` lists it. Those above 63 are what sysexits(3) means by them.
    public enum Status: Int32, Sendable {
        /// It was looked at, and is not as it should be; or what was asked for cannot be done.
        case failed = 1
        /// An argument or a setting cannot be used.
        case unusable = 64
        /// A store does not answer, or was never migrated: nothing is said of what is in it.
        case unavailable = 69
        /// What nobody foresaw.
        case unexpected = 70
    }

    public let status: Status
    /// What went wrong, and what to do next. Holds no secret.
    public let description: String

    init(_ status: Status = .failed, description: String) {
        self.status = status
        self.description = description
    }

    /// The databases are not what `sql/` and `mongo/` say; `pending` is what `kababeat migrate` would apply.
    static func lacking(_ pending: [String]) -> CommandFailure {
        let more = pending.count > mostNamed ? " and \(pending.count - mostNamed) more" : ""
        return CommandFailure(
            .unavailable,
            description: "the databases lack \(pending.prefix(mostNamed).joined(separator: ", "))\(more); run `kababeat migrate` first")
    }

    private static let mostNamed = 3
}
