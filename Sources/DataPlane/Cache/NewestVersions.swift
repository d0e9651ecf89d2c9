import Contract

/// The newest version of each entity that this process has met, for as long as there is room: somebody may have been shown it, so nothing
/// older is shown here any more. A pure value.
///
/// Whoever commits announces at once, but may die before that, and a copy under another's lease is announced only when that runs out. A
/// version that is read from Postgres and was never announced is therefore announced by whoever reads it.
struct NewestVersions: Sendable {
    private struct Key: Hashable {
        let kind: Announcement.Kind
        let id: EntityID
    }

    private struct Met {
        var version: Int64
        var isAnnounced: Bool
    }

    private let capacity: Int
    private var recent: [Key: Met] = [:]
    private var older: [Key: Met] = [:]

    /// Remembers at least the last `capacity` entities, and at most twice as many.
    init(capacity: Int = 32_768) { self.capacity = capacity }

    func newest(_ kind: Announcement.Kind, _ id: EntityID) -> Int64 { met(Key(kind: kind, id: id))?.version ?? 0 }

    /// Whether this version, or a newer one, is known to have been announced: by this process, or by another that was heard.
    func isAnnounced(_ announcement: Announcement) -> Bool {
        met(Key(kind: announcement.kind, id: announcement.id)).map { $0.isAnnounced && $0.version >= announcement.version } ?? false
    }

    /// A version was announced. True where it is newer than all that was met before.
    mutating func announced(_ announcement: Announcement) -> Bool {
        let key = Key(kind: announcement.kind, id: announcement.id)
        let known = met(key)
        if known.map({ announcement.version >= $0.version }) ?? true { put(key, Met(version: announcement.version, isAnnounced: true)) }
        return known.map { announcement.version > $0.version } ?? true
    }

    /// Nobody could be told of a version.
    mutating func untold(_ announcement: Announcement) {
        let key = Key(kind: announcement.kind, id: announcement.id)
        if met(key)?.version == announcement.version { put(key, Met(version: announcement.version, isAnnounced: false)) }
    }

    /// A version was read from Postgres. `isYoung` where it may be on its way to those who are to hear of it.
    mutating func read(_ version: Announcement, isYoung: Bool) -> (isNewer: Bool, isUnannounced: Bool) {
        let key = Key(kind: version.kind, id: version.id)
        guard let known = met(key) else {
            put(key, Met(version: version.version, isAnnounced: !isYoung))
            return (true, isYoung)
        }
        if version.version > known.version { put(key, Met(version: version.version, isAnnounced: false)) }
        return (version.version > known.version, version.version > known.version || version.version == known.version && !known.isAnnounced)
    }

    private func met(_ key: Key) -> Met? { recent[key] ?? older[key] }

    private mutating func put(_ key: Key, _ met: Met) {
        recent[key] = met
        guard recent.count >= capacity else { return }
        older = recent
        recent = [:]
    }
}
