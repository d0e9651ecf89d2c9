import Contract
import DataPlane
import HTTPAPI

/// What everybody may read of accounts.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/users/{user} | anyone |
public struct UserRoutes: Sendable {
    private let service: UserService

    public init(service: UserService) { self.service = service }

    public var routes: [Route] {
        [
            .get("/api/users/{user}", .anyone) { call throws(Problem) in try await profile(&call) }
                .first { call throws(Problem) in try rememberedProfile(&call) }
        ]
    }

    /// A profile that is asked for by its id, and is in this process's memory.
    private func rememberedProfile(_ call: inout Call) throws(Problem) -> Reply? {
        guard !call.bypassesCache else { return nil }
        _ = try call.query(allowed: [])
        call.clock.mark(.parse)
        guard let id = EntityID(call.parameter("user")), let body = service.remembered(id) else { return nil }
        call.clock.mark(.fetch)
        return try Self.reply(Lookup(tier: .l1, body: body))
    }

    private func profile(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        call.clock.mark(.parse)
        let lookup = try await service.profile(call.parameter("user"), bypassingCache: call.bypassesCache)
        call.clock.mark(.fetch)
        return try Self.reply(lookup)
    }

    private static func reply(_ lookup: Lookup) throws(Problem) -> Reply {
        guard let bytes = lookup.body.bytes else { throw .notFound("user") }
        return Reply(body: bytes, etag: lookup.body.etag, cacheControl: .revalidate, tier: lookup.tier)
    }
}
