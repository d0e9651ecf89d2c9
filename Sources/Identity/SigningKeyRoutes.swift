import Contract
import DataPlane
import HTTPAPI

/// What others verify our access tokens with.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /.well-known/jwks.json | anyone |
public struct SigningKeyRoutes: Sendable {
    private let service: SigningKeyService

    public init(service: SigningKeyService) { self.service = service }

    public var routes: [Route] {
        [.get("/.well-known/jwks.json", .anyone) { call throws(Problem) in try keySet(&call) }]
    }

    private func keySet(_ call: inout Call) throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        guard let body = service.keySet, let bytes = body.bytes else { throw .unavailable(.postgres) }
        return Reply(body: bytes, etag: body.etag, cacheControl: .minute)
    }
}
