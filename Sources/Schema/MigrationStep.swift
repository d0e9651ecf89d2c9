/// One thing that a migration did, or in a dry run would do.
public struct MigrationStep: Sendable, Hashable {
    /// What is migrated; the raw value is what `schema_migrations.kind` holds.
    public enum Kind: String, Sendable, Hashable {
        /// The gateway's role was made.
        case role
        case sql
        case mongo
    }

    public let kind: Kind
    /// The file's name, or the role's.
    public let name: String
    /// How long it took; nil in a dry run.
    public let duration: Duration?
}

/// What a migration did, or in a dry run would do.
public struct MigrationSummary: Sendable, Hashable {
    /// In the order they were carried out. Empty when the schemas were up to date.
    public internal(set) var steps: [MigrationStep] = []
    /// How many files there was nothing to do for.
    public internal(set) var unchanged = 0
}
