import Contract
import DataPlane
import HTTPAPI
import HTTPTypes
import JSON

/// What everybody may read of beats. A beat that is not published is there for those who may see it, and what a single beat is to an
/// account that asks stands in the answer's `viewer`.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/beats | anyone |
/// | GET | /api/beats/search | anyone |
/// | GET | /api/beats/featured | anyone |
/// | GET | /api/beats/{id} | anyone |
/// | GET | /api/users/{user}/beats | anyone |
/// | GET | /api/genres | anyone |
public struct BeatRoutes: Sendable {
    private let service: BeatService
    private let creators: any CreatorDirectory

    public init(service: BeatService, creators: any CreatorDirectory) {
        self.service = service
        self.creators = creators
    }

    public var routes: [Route] {
        [
            .get("/api/beats", .anyone, rate: .search) { call throws(Problem) in try await list(&call) },
            .get("/api/beats/search", .anyone, rate: .search) { call throws(Problem) in try await list(&call) },
            .get("/api/beats/featured", .anyone) { call throws(Problem) in try await featured(&call) },
            .get("/api/beats/{id}", .anyone) { call throws(Problem) in try await detail(&call) }
                .first { call throws(Problem) in try rememberedDetail(&call) },
            .get("/api/users/{user}/beats", .anyone, rate: .search) { call throws(Problem) in try await ofCreator(&call) },
            .get("/api/genres", .anyone) { call throws(Problem) in try await genres(&call) },
        ]
    }

    // MARK: Handlers

    /// A detail that is in this process's memory, unless the reader knows of a newer version.
    private func rememberedDetail(_ call: inout Call) throws(Problem) -> Reply? {
        guard !call.bypassesCache else { return nil }
        let (id, floor) = try Self.detailRequest(&call)
        guard let body = service.remembered(id), body.version >= floor else { return nil }
        call.clock.mark(.fetch)
        return try Self.reply(Lookup(tier: .l1, body: body), .revalidate)
    }

    private func detail(_ call: inout Call) async throws(Problem) -> Reply {
        let (id, floor) = try Self.detailRequest(&call)
        // A cache may hold an older version, and that there is no such beat.
        var lookup = floor > 0 ? try? await beat(id, call, bypassingCache: call.bypassesCache) : nil
        if lookup.map({ $0.body.version < floor }) ?? true {
            lookup = try await beat(id, call, bypassingCache: floor > 0 || call.bypassesCache)
        }
        call.clock.mark(.fetch)
        guard let lookup else { throw .notFound("beat") }
        return try Self.reply(lookup, call.principal.account == nil ? .revalidate : .never)
    }

    private static func detailRequest(_ call: inout Call) throws(Problem) -> (id: EntityID, floor: Int64) {
        _ = try call.query(allowed: [])
        guard let id = EntityID(call.parameter("id")) else { throw .notFound("beat") }
        let floor = try floor(call)
        call.clock.mark(.parse)
        return (id, floor)
    }

    private static func reply(_ lookup: Lookup, _ cacheControl: Reply.CacheControl) throws(Problem) -> Reply {
        guard let bytes = lookup.body.bytes else { throw .notFound("beat") }
        return Reply(body: bytes, etag: lookup.body.etag, cacheControl: cacheControl, tier: lookup.tier)
    }

    private func beat(_ id: EntityID, _ call: Call, bypassingCache: Bool) async throws(Problem) -> Lookup {
        guard let account = call.principal.account else { return try await service.beat(id, bypassingCache: bypassingCache) }
        return try await service.beat(id, for: account, bypassingCache: bypassingCache)
    }

    /// The version that the reader knows of; a cache that has an older one is passed over.
    private static func floor(_ call: Call) throws(Problem) -> Int64 {
        guard let text = call.field(.ifVersionAtLeast) else { return 0 }
        guard let version = Int64(text), version > 0 else {
            throw .invalid([.init("If-Version-At-Least", "must be a version: a whole number above 0")])
        }
        return version
    }

    private func list(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: Self.listParameters)
        let request = try Self.listRequest(&query)
        return try await answer(request, &call)
    }

    private func featured(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: Self.pageParameters)
        var request = BeatListRequest(page: query.page())
        try query.check()
        request.filter.isFeatured = true
        return try await answer(request, &call)
    }

    private func ofCreator(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: Self.pageParameters + ["sortBy", "sortOrder"])
        var request = BeatListRequest(page: query.page())
        Self.readOrder(&query, &request)
        try query.check()
        let named = try await creators.account(call.parameter("user"), bypassingCache: call.bypassesCache)
        guard let creator = named else { throw .notFound("user") }
        request.filter.creator = creator
        return try await answer(request, &call)
    }

    private func genres(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        call.clock.mark(.parse)
        let genres = try await service.genres(bypassingCache: call.bypassesCache)
        call.clock.mark(.fetch)
        var json = JSONWriter()
        json.object { json in
            json.key("items")
            json.array { json in
                for genre in genres {
                    json.object { json in
                        json.key("name")
                        json.string(genre.name)
                        json.key("beats")
                        json.integer(genre.count)
                    }
                }
            }
            json.page(limit: Genre.most, next: nil, total: Int64(genres.count), totalIsExact: genres.count < Genre.most)
        }
        call.clock.mark(.merge)
        return .json(json.bytes, etag: Self.etag(json.bytes))
    }

    private func answer(_ request: BeatListRequest, _ call: inout Call) async throws(Problem) -> Reply {
        call.clock.mark(.parse)
        let plan = try BeatPlanner.plan(request)
        call.clock.mark(.plan)
        let list = try await service.list(plan, bypassingCache: call.bypassesCache)
        call.clock.mark(.fetch)
        let json = list.json
        call.clock.mark(.merge)
        return .json(json, etag: Self.etag(json), tier: list.tier)
    }

    private static func etag(_ json: [UInt8]) -> String { "\"\(Digest(json).text)\"" }

    // MARK: Parameters

    private static let pageParameters = ["page", "limit", "cursor"]
    private static let listParameters =
        pageParameters + [
            "genre", "mood", "key", "bpm[min]", "bpm[max]", "price[min]", "price[max]", "tags", "search", "sortBy", "sortOrder",
        ]

    /// Reads a list request, with every complaint at once.
    static func listRequest(_ query: inout QueryParameters) throws(Problem) -> BeatListRequest {
        var request = BeatListRequest(page: query.page())
        request.filter.genre = query.text("genre")
        request.filter.mood = query.text("mood")
        request.filter.minimumBPM = query.number("bpm[min]", in: 0...1000)
        request.filter.maximumBPM = query.number("bpm[max]", in: 0...1000)
        request.filter.minimumPrice = query.money("price[min]", currency: .usd)
        request.filter.maximumPrice = query.money("price[max]", currency: .usd)
        request.filter.tags = query.list("tags", most: 10, longest: 100)
        if let text = query.text("key", longest: 20) {
            request.filter.key = MusicalKey(text)
            if request.filter.key == nil { query.complain("key", "must be a musical key such as C# minor, Db, Am or 8A") }
        }
        if let text = query.text("search", longest: 200) {
            request.filter.words = Array(SearchWords.words(text).prefix(SearchWords.mostInQuery))
            if request.filter.words.isEmpty { query.complain("search", "must hold a letter or a digit") }
            request.sort = .relevance
        }
        if let low = request.filter.minimumBPM, let high = request.filter.maximumBPM, low > high {
            query.complain("bpm[min]", "must not be greater than bpm[max]")
        }
        if let low = request.filter.minimumPrice, let high = request.filter.maximumPrice, low.minorUnits > high.minorUnits {
            query.complain("price[min]", "must not be greater than price[max]")
        }
        readOrder(&query, &request)
        try query.check()
        return request
    }

    private static func readOrder(_ query: inout QueryParameters, _ request: inout BeatListRequest) {
        if let sort = query.choice("sortBy", BeatSort.self) { request.sort = sort }
        if request.sort == .relevance, request.filter.words.isEmpty {
            query.complain("sortBy", "can be relevance only together with search")
        }
        request.order = query.choice("sortOrder", SortOrder.self) ?? request.sort.natural
    }
}
