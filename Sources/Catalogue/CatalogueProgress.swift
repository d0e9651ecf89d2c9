/// What an import has done so far, for progress and for the last line.
public struct CatalogueProgress: Sendable {
    /// Lines imported.
    public var lines = 0
    /// Lines left out because they are invalid.
    public var skipped = 0
    /// Bytes read.
    public var bytes: Int64 = 0
    /// Bytes of the whole file.
    public var size: Int64 = 0
}
