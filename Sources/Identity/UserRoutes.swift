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
        [.get("/api/users/{user}", .anyone) { call throws(Problem) in try await profile(&call) }]
    }

    private func profile(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        call.clock.mark(.parse)
        let lookup = try await service.profile(call.parameter("user"), bypassingCache: call.bypassesCache)
        call.clock.mark(.fetch)
        guard let bytes = lookup.body.bytes else { throw .notFound("user") }
        return Reply(body: bytes, etag: lookup.body.etag, cacheControl: .revalidate, tier: lookup.tier)
    }
}
