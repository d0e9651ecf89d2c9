import Contract
import DataPlane
import HTTPAPI
import HTTPTypes
import JSON

/// Who besides its owner may see or edit a beat.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/beats/{id}/permissions | owner |
/// | POST | /api/beats/{id}/permissions | allOf(owner, role:creator) |
/// | POST | /api/beats/{id}/permissions/accept | signedIn |
/// | DELETE | /api/beats/{id}/permissions/{user} | signedIn |
/// | GET | /api/users/me/permissions | signedIn |
///
/// Accepting is for the invited; removing for the owner and, of the own permission, for everybody. To anybody else there is nothing.
public struct BeatPermissionRoutes: Sendable {
    private let service: BeatPermissionService

    public init(service: BeatPermissionService) { self.service = service }

    public var routes: [Route] {
        [
            .get("/api/beats/{id}/permissions", .relation(.owner)) { call throws(Problem) in try await ofBeat(&call) },
            .post("/api/beats/{id}/permissions", .owningCreator) { call throws(Problem) in try await invite(&call) },
            .post("/api/beats/{id}/permissions/accept", .signedIn, body: .none) { call throws(Problem) in try await accept(&call) },
            .delete("/api/beats/{id}/permissions/{user}", .signedIn) { call throws(Problem) in try await remove(&call) },
            .get("/api/users/me/permissions", .signedIn) { call throws(Problem) in try await ofAccount(&call) },
        ]
    }

    private func ofBeat(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, account) = (try call.id("id", of: "beat"), try call.account())
        call.clock.mark(.parse)
        let permissions = try await service.permissions(of: id, for: account)
        call.clock.mark(.fetch)
        return .list(ListPage(whole: permissions, most: BeatPermissionService.mostOfBeat)) { $0.write(into: &$1) }
    }

    private func invite(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, account) = (try call.id("id", of: "beat"), try call.account())
        var input = try call.input(allowed: ["user", "permission"])
        let person = input.requiredText("user", 1...50)
        let word = input.requiredText("permission", 1...20)
        let level = BeatPermission.Level(rawValue: word)
        if level == nil || level == .owner { input.complain("permission", "must be one of: collaborator, viewer") }
        try input.check()
        guard let level else { throw .unexpected }
        call.clock.mark(.parse)
        let permission = try await service.invite(
            person, as: level, to: id, claim: call.claim, by: account, caller: call.caller)
        call.clock.mark(.fetch)
        return Self.one(permission, isNew: true)
    }

    private func accept(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, account) = (try call.id("id", of: "invitation"), try call.account())
        call.clock.mark(.parse)
        let permission = try await service.accept(id, claim: call.claim, for: account, caller: call.caller)
        call.clock.mark(.fetch)
        return Self.one(permission, isNew: false)
    }

    private func remove(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let (id, person) = (try call.id("id", of: "permission"), try call.id("user", of: "permission"))
        let account = try call.account()
        call.clock.mark(.parse)
        try await service.remove(person, from: id, by: account, caller: call.caller)
        call.clock.mark(.fetch)
        return .done
    }

    private func ofAccount(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["page", "limit", "cursor"])
        let request = query.page()
        try query.check()
        let account = try call.account()
        call.clock.mark(.parse)
        let page = try await service.page(request, for: account)
        call.clock.mark(.fetch)
        return .list(page) { $0.write(into: &$1) }
    }

    private static func one(_ permission: BeatPermission, isNew: Bool) -> Reply {
        var json = JSONWriter()
        permission.write(into: &json)
        var reply = Reply.json(json.bytes)
        if isNew { reply.status = .created }
        return reply
    }
}
