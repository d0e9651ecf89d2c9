import Contract
import HTTPAPI
import HTTPTypes
import JSON
import NIOCore

/// Service keys, for admins.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/admin/service-keys | role:admin |
/// | POST | /api/admin/service-keys | role:admin |
/// | DELETE | /api/admin/service-keys/{id} | role:admin |
public struct ServiceKeyRoutes: Sendable {
    private let service: ServiceKeyService

    public init(service: ServiceKeyService) { self.service = service }

    public var routes: [Route] {
        [
            .get("/api/admin/service-keys", .role(.admin)) { call throws(Problem) in try await list(&call) },
            .post("/api/admin/service-keys", .role(.admin), idempotency: .ignored) { call throws(Problem) in try await create(&call) },
            .delete("/api/admin/service-keys/{id}", .role(.admin)) { call throws(Problem) in try await revoke(&call) },
        ]
    }

    private func list(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["page", "limit", "cursor"])
        let request = query.page()
        try query.check()
        let admin = try call.account()
        call.clock.mark(.parse)
        let page = try await service.page(request, for: admin)
        call.clock.mark(.fetch)
        return .list(page) { $0.write(into: &$1) }
    }

    private func create(_ call: inout Call) async throws(Problem) -> Reply {
        var input = try call.input(allowed: ["name", "scopes", "expiresAt"])
        let order = Self.order(&input)
        try input.check()
        let admin = try call.account()
        call.clock.mark(.parse)
        let (key, secret) = try await service.create(order, by: admin, caller: call.caller)
        var json = JSONWriter(capacity: 512)
        key.write(into: &json, secret: secret)
        return Reply(status: .created, body: ByteBuffer(bytes: json.bytes))
    }

    private static func order(_ input: inout BodyInput) -> ServiceKeyOrder {
        let name = input.requiredVisibleText("name", longest: ServiceKeyOrder.longestName)
        if !input.has("scopes") { input.complain("scopes", "is missing") }
        var scopes: Set<Scope> = []
        for text in input.texts("scopes", count: 1...Scope.allCases.count, characters: 1...100) ?? [] {
            guard let scope = Scope(rawValue: text) else {
                input.complain("scopes", "must be of: \(Scope.allCases.map(\.rawValue).joined(separator: ", "))")
                continue
            }
            scopes.insert(scope)
        }
        var expiresAt: Timestamp?
        if let text = input.text("expiresAt", 1...40) {
            expiresAt = Timestamp(text)
            if expiresAt.map({ $0 <= .now }) ?? true { input.complain("expiresAt", "must be an RFC 3339 time to come") }
        }
        return ServiceKeyOrder(name: name, scopes: scopes, expiresAt: expiresAt)
    }

    private func revoke(_ call: inout Call) async throws(Problem) -> Reply {
        try await service.revoke(try call.id("id", of: "service key"), by: try call.account(), caller: call.caller)
        return .done
    }
}
