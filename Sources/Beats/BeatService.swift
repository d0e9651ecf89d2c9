import Contract
import DataPlane
import JSON
import MongoClient
import NIOCore

/// Reads beats: from the cache, or from both databases side by side, batched with what other requests ask for at the moment.
public final class BeatService: Sendable {
    /// The two ways a beat is shown, for the cache.
    public static let detail = Representation(kind: .beat, name: "detail", schema: 1)
    public static let summary = Representation(kind: .beat, name: "summary", schema: 1)

    /// What one look-up of each store may take before the answer goes on without it.
    public struct Timeouts: Sendable {
        public var postgres = Duration.seconds(1)
        public var mongo = Duration.seconds(1)
        public var search = Duration.seconds(2)

        public init() {}
    }

    private let cache: EntityCache
    private let details: BatchLoader<EntityID, CachedBody>
    private let summaries: BatchLoader<EntityID, CachedBody>
    private let openContents: BatchLoader<EntityID, BeatContent>
    private let cores: BeatCoreStore
    private let contents: BeatContentStore
    private let viewers: BeatViewerStore
    private let search: BeatSearchStore
    private let detailSource: EntitySource
    private let summarySource: EntitySource
    private let pages: PageCache<BeatSearchPlan, BeatSearchPage>
    private let totals: PageCache<BSONDocument, ListTotal>
    private let genreList: PageCache<String, [Genre]>

    public init(cache: EntityCache, postgres: PostgresAccess, mongo: MongoAccess, timeouts: Timeouts = Timeouts(), observer: any Observer) {
        self.cache = cache
        let cores = BeatCoreStore(postgres: postgres, timeout: timeouts.postgres)
        let contents = BeatContentStore(mongo: mongo, timeout: timeouts.mongo)
        details = BatchLoader(kind: "beat_detail", observer: observer) { ids throws(Problem) in
            try await Self.load(ids, .full, cores, contents)
        }
        summaries = BatchLoader(kind: "beat_summary", observer: observer) { ids throws(Problem) in
            try await Self.load(ids, .summary, cores, contents)
        }
        openContents = BatchLoader(kind: "beat_content", observer: observer) { ids throws(Problem) in
            try await contents.contents(ids, .full)
        }
        (self.cores, self.contents) = (cores, contents)
        let versions = BatchLoader<EntityID, Int64>(kind: "beat_version", observer: observer) { ids throws(Problem) in
            try await cores.versions(ids)
        }
        detailSource = EntitySource(details, versions: versions)
        summarySource = EntitySource(summaries, versions: versions)
        pages = PageCache(capacity: 4096, lifetime: .seconds(2)) { cache.isTrusted }
        totals = PageCache(capacity: 4096, lifetime: .seconds(10)) { cache.isTrusted }
        genreList = PageCache(capacity: 1, lifetime: .seconds(30)) { cache.isTrusted }
        viewers = BeatViewerStore(postgres: postgres, timeout: timeouts.postgres)
        search = BeatSearchStore(mongo: mongo, timeout: timeouts.search)
    }

    /// Beats that wait for a look-up, by the kind of look-up, for metrics.
    public var waiting: [(kind: String, count: Int)] {
        [("beat_detail", details.waiting), ("beat_summary", summaries.waiting), ("beat_content", openContents.waiting)]
    }

    // MARK: One beat

    /// The public detail of a published beat if this process has it, or that there is none. Never waits.
    func remembered(_ id: EntityID) -> CachedBody? { cache.local(Self.detail, id) }

    /// The public detail of a published beat. Throws `notFound`; `storeUnavailable` where Postgres, which decides who may see it,
    /// does not answer. Without MongoDB the core comes alone, and says so.
    func beat(_ id: EntityID, bypassingCache: Bool) async throws(Problem) -> Lookup {
        let lookup: Lookup
        if bypassingCache {
            lookup = try await cache.lookUpPastTiers(Self.detail, [id], from: detailSource)[0]
        } else if let body = remembered(id) {
            lookup = Lookup(tier: .l1, body: body)
        } else {
            lookup = try await cache.lookUp(Self.detail, [id], from: detailSource)[0]
        }
        guard lookup.body.exists else { throw .notFound("beat") }
        return lookup
    }

    /// A beat as one account sees it, with the `viewer` member: the public detail where it is published, else what the account's own
    /// row security shows, past every cache and kept in none. Throws what `beat(_:bypassingCache:)` throws.
    func beat(_ id: EntityID, for account: Account, bypassingCache: Bool) async throws(Problem) -> Lookup {
        guard let viewer = try await viewers.viewer(of: id, account) else { throw .notFound("beat") }
        let lookup = viewer.isPublished ? try await beat(id, bypassingCache: bypassingCache) : try await unpublished(id, account)
        return try Self.spliced(lookup, viewer)
    }

    /// A beat that `account` has just written, as it sees it: Postgres has said what it is, MongoDB is asked what it shows. Where that is
    /// newer, somebody else has written it since, and it is read anew. Throws what `beat(_:bypassingCache:)` throws.
    func written(_ beat: WrittenBeat, isShown: Bool, for account: Account) async throws(Problem) -> Lookup {
        let content = await content(of: beat.core.id)
        if case .success(let shown?) = content, shown.version > beat.core.version {
            return try await self.beat(beat.core.id, for: account, bypassingCache: true)
        }
        return try Self.spliced(Lookup(tier: .bypass, body: Self.body(beat.core, content, isShown: isShown)), beat.viewer)
    }

    private static func spliced(_ lookup: Lookup, _ viewer: BeatViewer) throws(Problem) -> Lookup {
        guard let bytes = lookup.body.bytes else { throw .notFound("beat") }
        let body = CachedBody(version: lookup.body.version, json: viewer.splice(into: bytes), isComplete: lookup.body.isComplete)
        return Lookup(tier: lookup.tier, body: body)
    }

    private func unpublished(_ id: EntityID, _ account: Account) async throws(Problem) -> Lookup {
        async let found = content(of: id)
        guard let core = try await cores.core(id, for: account) else { throw .notFound("beat") }
        return Lookup(tier: .miss, body: Self.body(core, await found))
    }

    private func content(of id: EntityID) async -> Result<BeatContent?, Problem> {
        do throws(Problem) { return .success(try await openContents.value(for: id)) } catch { return .failure(error) }
    }

    // MARK: Lists

    /// One page of beats with the list's total. Beats of which the index does not know yet that they were withdrawn are left out, and the
    /// page is filled up with those that follow. Throws `storeUnavailable` where a store that it needs does not answer: half a list would
    /// look like a whole one.
    func list(_ plan: BeatSearchPlan, bypassingCache: Bool) async throws(Problem) -> BeatList {
        async let page = page(plan, bypassingCache: bypassingCache)
        let total = try await total(plan, bypassingCache: bypassingCache)
        let found: (page: BeatSearchPage, tier: CacheTier)
        do { found = try await page } catch { throw Self.problem(error) }
        var rows = try await rows(found.page.ids, bypassingCache: bypassingCache)
        var (next, gone, readings) = (found.page.next, found.page.ids.count - rows.count, 0)
        while let cursor = next, rows.count < plan.limit, readings < Self.mostReadings {
            let following = try BeatPlanner.following(plan, cursor, limit: plan.limit - rows.count)
            let further = try await self.page(following, bypassingCache: bypassingCache).page
            let more = try await self.rows(further.ids, bypassingCache: bypassingCache)
            // A beat whose place has changed meanwhile may come once more.
            let known = Set(rows.map(\.id))
            let fresh = more.filter { !known.contains($0.id) }
            rows += fresh
            gone += further.ids.count - fresh.count
            next = further.next
            readings += 1
        }
        return BeatList(
            beats: rows.map(\.lookup), next: next,
            total: total.beside(rows.count, before: plan.rowsBefore, gone: gone, isLast: next == nil), limit: plan.limit,
            pageTier: found.tier)
    }

    /// How often a page is read on that beats have fallen out of.
    private static let mostReadings = 3

    /// A page of the beats that an account made, drafts included, the newest first; past every cache. Throws `invalidCursor`,
    /// `storeUnavailable` or `overloaded`.
    func own(_ request: PageRequest, _ status: BeatStatus?, by account: Account) async throws(Problem) -> BeatList {
        let order = Digest("own \(status?.rawValue ?? "")").value
        var position: (Timestamp, EntityID)?
        if case .after(let cursor) = request.position {
            guard cursor.order == order, let time = cursor.timestamp else {
                throw Problem(.invalidCursor, "The cursor belongs to a list with another filter or order.")
            }
            position = (time, cursor.id)
        }
        let total = ListTotal(counted: try await cores.countOwn(by: account, status))
        let found = try await cores.own(by: account, status, before: position, offset: request.offset, limit: request.limit + 1)
        let shown = found.prefix(request.limit)
        let contents = await Self.outcome(shown.map(\.id), .summary, contents)
        // Half a list would look like a whole one.
        if case .failure(let problem) = contents { throw problem }
        let last = found.count > shown.count ? shown.last : nil
        let bodies = shown.map { core in Self.body(core, contents.map { $0[core.id] }) }
        try await cache.learn(.beat, Dictionary(zip(shown.map(\.id), bodies)) { first, _ in first })
        return BeatList(
            beats: bodies.map { Lookup(tier: .bypass, body: $0) },
            next: last.map { Cursor(order: order, value: .integer($0.createdAt.microseconds), id: $0.id) },
            total: total.beside(shown.count, before: request.rowsBefore, isLast: last == nil), limit: request.limit, pageTier: .bypass)
    }

    func genres(bypassingCache: Bool) async throws(Problem) -> [Genre] {
        if bypassingCache { return try await search.genres() }
        return try await genreList.value(for: "") { [search] () throws(Problem) in try await search.genres() }.value
    }

    /// Lists may have changed; nil says that anything may have.
    public func heard(_ announcements: [Announcement]?) {
        guard announcements?.contains(where: { $0.kind == .beat || $0.kind == .standing }) ?? true else { return }
        pages.removeAll()
        totals.removeAll()
        genreList.removeAll()
    }

    private func page(_ plan: BeatSearchPlan, bypassingCache: Bool) async throws(Problem) -> (page: BeatSearchPage, tier: CacheTier) {
        if bypassingCache { return (try await search.page(plan), .bypass) }
        let found = try await pages.value(for: plan) { [search] () throws(Problem) in try await search.page(plan) }
        return (found.value, found.tier)
    }

    private func total(_ plan: BeatSearchPlan, bypassingCache: Bool) async throws(Problem) -> ListTotal {
        if bypassingCache { return try await search.total(plan.total) }
        return try await totals.value(for: plan.total) { [search] () throws(Problem) in try await search.total(plan.total) }.value
    }

    /// Those of the beats that there still are.
    private func rows(_ ids: [EntityID], bypassingCache: Bool) async throws(Problem) -> [(id: EntityID, lookup: Lookup)] {
        let lookups =
            bypassingCache
            ? try await cache.lookUpPastTiers(Self.summary, ids, from: summarySource)
            : try await cache.lookUp(Self.summary, ids, from: summarySource)
        return zip(ids, lookups).filter { $1.body.exists }.map { (id: $0, lookup: $1) }
    }

    private static func problem(_ error: any Error) -> Problem { error as? Problem ?? .unexpected }

    // MARK: Fetching and merging

    /// Asks both stores side by side for a batch, and merges what they say. Postgres decides what is there at all.
    static func load(
        _ ids: [EntityID], _ detail: BeatDetail, _ coreStore: BeatCoreStore, _ contentStore: BeatContentStore
    ) async throws(Problem) -> [EntityID: CachedBody] {
        async let contents = outcome(ids, detail, contentStore)
        let cores = try await coreStore.cores(ids)
        let found = await contents
        // Half a list would look like a whole one.
        if detail == .summary, case .failure(let problem) = found { throw problem }
        return try await settled(cores, found, coreStore).mapValues { core in body(core, found.map { $0[core.id] }) }
    }

    /// Reads those cores again whose contents are newer: a change that was committed and delivered between the two answers must not
    /// show half.
    private static func settled(
        _ cores: [EntityID: BeatCore], _ contents: Result<[EntityID: BeatContent], Problem>, _ store: BeatCoreStore
    ) async throws(Problem) -> [EntityID: BeatCore] {
        guard case .success(let contents) = contents else { return cores }
        let overtaken = cores.values.filter { core in contents[core.id].map { $0.version > core.version } ?? false }.map(\.id)
        guard !overtaken.isEmpty else { return cores }
        let again = try await store.cores(overtaken)
        return cores.filter { !overtaken.contains($0.key) }.merging(again) { $1 }
    }

    private static func outcome(
        _ ids: [EntityID], _ detail: BeatDetail, _ store: BeatContentStore
    ) async -> Result<[EntityID: BeatContent], Problem> {
        do throws(Problem) { return .success(try await store.contents(ids, detail)) } catch { return .failure(error) }
    }

    /// Pure: what to say of a beat whose content is there, of an older version, on its way, or out of reach; or that not every copy of
    /// it `isShown` yet.
    static func body(_ core: BeatCore, _ content: Result<BeatContent?, Problem>, isShown: Bool = true) -> CachedBody {
        switch content {
        case .success(let content?) where content.version == core.version && !isShown:
            CachedBody(
                version: core.version, json: BeatMerge.beat(core, content, sources: Sources(mongo: .pending)), isComplete: false,
                changedAt: core.updatedAt)
        case .success(let content?) where content.version == core.version:
            CachedBody(version: core.version, json: BeatMerge.beat(core, content), changedAt: core.updatedAt)
        case .success(let content?) where content.version > core.version:
            CachedBody(
                version: core.version, json: BeatMerge.beat(core, content, sources: Sources(postgres: .stale)), isComplete: false,
                changedAt: core.updatedAt)
        case .success(let content):
            CachedBody(
                version: core.version, json: BeatMerge.beat(core, content, sources: Sources(mongo: content == nil ? .pending : .stale)),
                isComplete: false, changedAt: core.updatedAt)
        case .failure:
            CachedBody(
                version: core.version, json: BeatMerge.beat(core, nil, sources: Sources(mongo: .missing)), isComplete: false,
                changedAt: core.updatedAt)
        }
    }
}

/// A page of beats on its way to the client.
struct BeatList: Sendable {
    let beats: [Lookup]
    let next: Cursor?
    let total: ListTotal
    let limit: Int
    let pageTier: CacheTier

    /// The farthest tier that the page or any row came from.
    var tier: CacheTier {
        let order: [CacheTier] = [.l1, .l2, .miss, .bypass]
        return ([pageTier] + beats.map(\.tier)).max { (order.firstIndex(of: $0) ?? 0) < (order.firstIndex(of: $1) ?? 0) } ?? .l1
    }

    /// Splices the rows as they stand in the cache. Pure.
    var json: [UInt8] {
        var json = JSONWriter(capacity: 256 + beats.reduce(0) { $0 + ($1.body.bytes?.readableBytes ?? 0) + 1 })
        json.object { json in
            json.key("items")
            json.array { json in
                for beat in beats { beat.body.bytes?.withUnsafeReadableBytes { json.raw($0) } }
            }
            json.page(limit: limit, next: next, total: total.count, totalIsExact: total.isExact)
        }
        return json.bytes
    }
}
