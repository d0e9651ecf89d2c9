import Contract

/// One copy of a beat that is not what its owners say.
public struct BeatMismatch: Sendable, Hashable {
    /// How a copy differs.
    public enum Kind: String, Sendable, CaseIterable {
        /// Postgres has the beat, the copy is not there; or a cache says that there is none.
        case missing
        /// The copy is of an older version.
        case stale
        /// The copy is there, and Postgres does not know the beat, or nobody may see it.
        case orphan
        /// The copy is of the right version, or of one that Postgres never had, and says something else.
        case different
    }

    /// Where a copy is kept.
    public enum Place: String, Sendable, CaseIterable {
        case beats
        case searchIndex = "search_index"
        /// The tier that all gateways share; looked at by samples.
        case cache
    }

    public let kind: Kind
    public let place: Place
    public let id: EntityID
    /// The version that the copy says it is of; 0 where there is none.
    public let version: Int64
}
