import MongoClient
import PostgresClient

/// Why the schemas could not be brought up to date. `description` names the file and says what to do; it holds no value of a row.
/// `debugDescription` also holds what the store said, for the operator's terminal and log.
public enum SchemaError: Error, Sendable {
    /// A directory or file cannot be read.
    case unreadable(path: String, reason: String)
    /// A file's name does not say where it stands in the order.
    case badName(file: String)
    /// Two SQL files have the same number.
    case sameNumber(first: String, second: String)
    /// A file of `mongo/` does not describe a collection.
    case malformed(file: String, reason: String)
    /// An SQL file differs from what was applied.
    case edited(file: String)
    /// An SQL file that was applied is gone.
    case missing(file: String)
    /// An SQL file that was not applied stands before one that was.
    case outOfOrder(file: String, after: String)
    /// An index exists under this name, or with these keys, but is another one.
    case indexDiffers(collection: String, index: String)
    /// The gateway's role cannot be used or made.
    case role(String, reason: String)
    /// A file was refused; nothing of an SQL file stays.
    case failed(file: String, cause: any Error)
    /// Postgres could not be asked.
    case postgres(PostgresError)
    /// MongoDB could not be asked.
    case mongo(MongoError)
}

extension SchemaError {
    /// Whether a store could not be asked, so that nothing is said of its schema.
    public var isUnavailable: Bool {
        switch self {
        case .postgres(let error): error.isUnavailable
        case .mongo(let error): error.isUnavailable
        default: false
        }
    }
}

extension SchemaError: CustomStringConvertible, CustomDebugStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let path, let reason):
            "\(path) cannot be read: \(reason). Name the directory of the schema files, or run where it is."
        case .badName(let file):
            "\(file) is no name for a migration. Call it NNN_name.sql: three digits, then lower-case letters, digits and underscores."
        case .sameNumber(let first, let second):
            "\(first) and \(second) have the same number. Give the later one a number of its own."
        case .malformed(let file, let reason):
            "\(file) does not describe a collection: \(reason)."
        case .edited(let file):
            "\(file) was changed after it was applied. Put it back as it was, and what should change into a new file."
        case .missing(let file):
            "\(file) was applied and is gone. Put it back; to undo what it did, add a new file."
        case .outOfOrder(let file, let after):
            "\(file) stands before \(after), which is applied already. Give it a higher number."
        case .indexDiffers(let collection, let index):
            "the index \(index) of \(collection) clashes with one that is there. Give it another name, or allow indexes to be dropped."
        case .role(let role, let reason):
            "the gateway's role \(role) cannot be used: \(reason)."
        case .failed(let file, let cause):
            "\(file) failed: \(cause). Nothing after it was applied; correct it and migrate again."
        case .postgres(let error): "the schema of Postgres cannot be read: \(error)."
        case .mongo(let error): "the schema of MongoDB cannot be read: \(error)."
        }
    }

    public var debugDescription: String {
        switch self {
        case .failed(_, let cause): "\(description)\n\(Self.detail(cause))"
        case .postgres(let error): "\(description)\n\(Self.detail(error))"
        case .mongo(let error): "\(description)\n\(Self.detail(error))"
        default: description
        }
    }

    /// What the store said, without the SQL, which is a whole file here.
    private static func detail(_ error: any Error) -> Substring {
        let text = String(reflecting: error)
        return text[..<(text.firstRange(of: " [SQL: ")?.lowerBound ?? text.endIndex)]
    }
}
