/// Why an import stopped. What was committed before stays, and a second import does not write it twice.
public enum CatalogueError: Error, Sendable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    /// `number` counts from 1.
    case invalidLine(path: String, number: Int, reason: String)
    /// A store does not answer, or answers with an error.
    case stopped(by: any Error)
    /// Whatever names could be made of this creator's are taken.
    case nameless(creator: String)
    /// So many changes are in Postgres and could not be brought to MongoDB.
    case refused(Int64)

    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
        case .invalidLine(let path, let number, let reason):
            "\(path):\(number): \(reason)\nNothing of this line was imported. Correct it, or pass --skip-invalid to go on without such lines."
        case .refused(let count):
            "\(count) changes are in Postgres, but MongoDB refused them. The outbox keeps them as dead letters; its column last_error says why."
        case .nameless(let creator): "no username is free for the creator \(creator)"
        case .stopped(let cause): "the import stopped: \(cause)\nRun it again: what is there already is not written twice."
        }
    }
}
