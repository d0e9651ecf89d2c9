/// Says that an entity changed, so that nothing older than `version` is served any more.
public struct Announcement: Sendable, Hashable {
    /// The nouns that caches and relays know. Raw values stand in cache keys and outbox rows: never reuse one.
    public enum Kind: String, Sendable, CaseIterable {
        case beat, user
        /// No cache ever holds one. `creator` is what beats show of an account; `standing` has caches and lists forget at once what a change
        /// of that has made wrong.
        case mail, creator, standing
    }

    public let kind: Kind
    public let id: EntityID
    public let version: Int64

    public init(kind: Kind, id: EntityID, version: Int64) {
        self.kind = kind
        self.id = id
        self.version = version
    }
}
