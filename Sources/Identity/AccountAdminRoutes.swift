import Contract
import HTTPAPI
import JSON

/// Accounts, for admins.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/admin/users | role:admin |
/// | POST | /api/admin/users/{id}/suspend | role:admin |
/// | POST | /api/admin/users/{id}/unsuspend | role:admin |
/// | POST | /api/admin/users/{id}/roles | role:admin |
/// | DELETE | /api/admin/users/{id}/roles/{role} | role:admin |
public struct AccountAdminRoutes: Sendable {
    private let service: AccountAdminService

    public init(service: AccountAdminService) { self.service = service }

    public var routes: [Route] {
        [
            .get("/api/admin/users", .role(.admin), rate: .search) { call throws(Problem) in try await list(&call) },
            .post("/api/admin/users/{id}/suspend", .role(.admin)) { call throws(Problem) in try await suspend(&call) },
            .post("/api/admin/users/{id}/unsuspend", .role(.admin)) { call throws(Problem) in try await unsuspend(&call) },
            .post("/api/admin/users/{id}/roles", .role(.admin)) { call throws(Problem) in try await grant(&call) },
            .delete("/api/admin/users/{id}/roles/{role}", .role(.admin)) { call throws(Problem) in try await revoke(&call) },
        ]
    }

    private func list(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["page", "limit", "cursor", "status", "role", "search"])
        let page = query.page()
        let filter = AccountFilter(
            status: query.choice("status", AccountStatus.self), role: query.choice("role", Role.self),
            search: query.text("search")?.composed)
        try query.check()
        call.clock.mark(.parse)
        let list = try await service.list(filter, page, as: call.account())
        call.clock.mark(.fetch)
        return .list(list) { $0.write(into: &$1) }
    }

    private func suspend(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["reason"])
        let reason = input.requiredVisibleText("reason", longest: 500)
        try input.check()
        return .entry(
            try await service.suspend(
                call.id("id", of: "user"), reason: reason, claim: call.claim, by: call.account(), caller: call.caller))
    }

    private func unsuspend(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        _ = try call.input(allowed: [])
        return .entry(
            try await service.unsuspend(
                call.id("id", of: "user"), claim: call.claim, by: call.account(), caller: call.caller))
    }

    private func grant(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        var input = try call.input(allowed: ["role"])
        let name = input.requiredText("role", 1...20)
        let role = Role(rawValue: name)
        if role == nil, !name.isEmpty {
            input.complain("role", "must be one of: \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        try input.check()
        guard let role else { throw .unexpected }
        return .entry(
            try await service.grant(role, to: call.id("id", of: "user"), claim: call.claim, by: call.account(), caller: call.caller))
    }

    private func revoke(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        guard let role = Role(rawValue: call.parameter("role")) else { throw .notFound("role of this user") }
        return .entry(try await service.revoke(role, from: call.id("id", of: "user"), by: call.account(), caller: call.caller))
    }
}

extension Reply {
    fileprivate static func entry(_ entry: AccountEntry) -> Reply {
        var json = JSONWriter(capacity: 512)
        entry.write(into: &json)
        return .json(json.bytes)
    }
}
