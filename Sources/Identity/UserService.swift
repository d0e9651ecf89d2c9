import Contract
import DataPlane
import JSON
import PostgresClient

/// Public profiles, by id or by username.
public final class UserService: CreatorDirectory {
    public static let profile = Representation(kind: .user, name: "profile", schema: 2)

    private let cache: EntityCache
    private let store: UserStore
    private let profiles: BatchLoader<EntityID, UserProfile>
    private let versions: BatchLoader<EntityID, Int64>
    private let names: PageCache<String, EntityID?>

    public init(cache: EntityCache, postgres: PostgresAccess, observer: any Observer, timeout: Duration = .seconds(1)) {
        self.cache = cache
        let store = UserStore(postgres: postgres, timeout: timeout)
        self.store = store
        profiles = BatchLoader(kind: "user_profile", observer: observer) { ids throws(Problem) in try await store.profiles(ids) }
        versions = BatchLoader(kind: "user_version", observer: observer) { ids throws(Problem) in try await store.versions(ids) }
        names = PageCache(capacity: 65_536, lifetime: .seconds(5)) { cache.isTrusted }
    }

    /// The public profile of an id if this process has it, or that there is none. Never waits.
    func remembered(_ id: EntityID) -> CachedBody? { cache.local(Self.profile, id) }

    /// The public profile of an active account. Throws `notFound`; `storeUnavailable` where Postgres does not answer.
    func profile(_ idOrUsername: String, bypassingCache: Bool) async throws(Problem) -> Lookup {
        guard let id = try await identify(idOrUsername, bypassingCache: bypassingCache) else { throw .notFound("user") }
        let lookup: Lookup
        if bypassingCache {
            lookup = try await cache.lookUpPastTiers(Self.profile, [id], from: source)[0]
        } else if let body = cache.local(Self.profile, id) {
            lookup = Lookup(tier: .l1, body: body)
        } else {
            lookup = try await cache.lookUp(Self.profile, [id], from: source)[0]
        }
        guard lookup.body.exists else { throw .notFound("user") }
        return lookup
    }

    public func account(_ idOrUsername: String, bypassingCache: Bool) async throws(Problem) -> EntityID? {
        guard let id = try await identify(idOrUsername, bypassingCache: bypassingCache) else { return nil }
        if bypassingCache { return try await cache.lookUpPastTiers(Self.profile, [id], from: source)[0].body.exists ? id : nil }
        if let body = cache.local(Self.profile, id) { return body.exists ? id : nil }
        return try await cache.lookUp(Self.profile, [id], from: source)[0].body.exists ? id : nil
    }

    /// Names may have changed hands; nil says that anything may have.
    public func heard(_ announcements: [Announcement]?) {
        if announcements?.contains(where: { $0.kind == .user }) ?? true { names.removeAll() }
    }

    private var source: EntitySource {
        EntitySource { ids throws(Problem) in
            try await self.load(ids)
        } versions: { [versions] ids throws(Problem) in
            let found = try await versions.values(for: ids)
            return Dictionary(zip(ids, found).compactMap { id, version in version.map { (id, $0) } }) { first, _ in first }
        }
    }

    private func identify(_ idOrUsername: String, bypassingCache: Bool) async throws(Problem) -> EntityID? {
        if let id = EntityID(idOrUsername) { return id }
        let name = idOrUsername.lowercased()
        guard (3...50).contains(name.utf8.count) else { return nil }
        if bypassingCache { return try await store.id(username: name) }
        return try await names.value(for: name) { [store] () throws(Problem) in try await store.id(username: name) }.value
    }

    private func load(_ ids: [EntityID]) async throws(Problem) -> [EntityID: CachedBody] {
        var bodies: [EntityID: CachedBody] = [:]
        for case let profile? in try await profiles.values(for: ids) {
            bodies[profile.id] = CachedBody(version: profile.version, json: UserMerge.profile(profile))
        }
        return bodies
    }
}

/// How an account looks in answers. Pure.
enum UserMerge {
    static func profile(_ profile: UserProfile) -> [UInt8] {
        var json = JSONWriter(capacity: 512)
        json.object { json in
            json.key("id")
            json.id(profile.id)
            json.key("version")
            json.integer(profile.version)
            json.key("username")
            json.string(profile.username)
            json.optional("displayName", profile.displayName)
            json.optional("avatarUrl", profile.avatarURL)
            json.optional("bio", profile.bio)
            json.key("isVerified")
            json.bool(profile.isVerified)
            json.key("isCreator")
            json.bool(profile.isCreator)
            if profile.socialLinks != "{}" {
                json.key("socialLinks")
                json.literal(profile.socialLinks)
            }
            json.key("createdAt")
            json.timestamp(profile.createdAt)
        }
        return json.bytes
    }
}
