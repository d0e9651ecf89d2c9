import Contract
import DataPlane
import HTTPAPI
import HTTPTypes
import NIOCore

/// How beats are made, changed, published and taken back.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | POST | /api/beats | role:creator |
/// | PUT, PATCH | /api/beats/{id} | anyOf(owner, collaborator) |
/// | DELETE | /api/beats/{id} | owner |
/// | POST | /api/beats/{id}/publish, unpublish, archive | owner |
public struct BeatDraftRoutes: Sendable {
    private let service: BeatDraftService

    public init(service: BeatDraftService) { self.service = service }

    /// A waveform takes most of it.
    private static let body = Route.BodyRule.json(limit: 128 << 10)
    private static let editors = Policy.anyOf([.relation(.owner), .relation(.collaborator)])

    public var routes: [Route] {
        [
            .post("/api/beats", .role(.creator), body: Self.body) { call throws(Problem) in try await create(&call) },
            .put("/api/beats/{id}", Self.editors, body: Self.body) { call throws(Problem) in try await edit(&call, .whole) },
            .patch("/api/beats/{id}", Self.editors, body: Self.body) { call throws(Problem) in try await edit(&call, .partial) },
            .delete("/api/beats/{id}", .relation(.owner)) { call throws(Problem) in try await delete(&call) },
            .post("/api/beats/{id}/publish", .relation(.owner), body: .none) { call throws(Problem) in try await move(&call, .published) },
            .post("/api/beats/{id}/unpublish", .relation(.owner), body: .none) { call throws(Problem) in try await move(&call, .draft) },
            .post("/api/beats/{id}/archive", .relation(.owner), body: .none) { call throws(Problem) in try await move(&call, .archived) },
        ]
    }

    private func create(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let edit = try BeatEdit(try call.input(allowed: BeatEdit.members), .whole)
        call.clock.mark(.parse)
        var reply = try Self.reply(try await service.create(edit, by: call.account()), &call)
        reply.status = .created
        return reply
    }

    private func edit(_ call: inout Call, _ mode: BeatEdit.Mode) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let id = try call.id("id", of: "beat")
        let edit = try BeatEdit(try call.input(allowed: BeatEdit.members), mode)
        call.clock.mark(.parse)
        return try Self.reply(try await service.edit(id, edit, ifVersion: IfMatch(call), by: call.account()), &call)
    }

    private func move(_ call: inout Call, _ status: BeatStatus) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let id = try call.id("id", of: "beat")
        call.clock.mark(.parse)
        return try Self.reply(try await service.move(id, to: status, ifVersion: IfMatch(call), by: call.account()), &call)
    }

    private func delete(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let id = try call.id("id", of: "beat")
        call.clock.mark(.parse)
        try await service.delete(id, ifVersion: IfMatch(call), by: call.account())
        call.clock.mark(.fetch)
        return .done
    }

    private static func reply(_ lookup: Lookup, _ call: inout Call) throws(Problem) -> Reply {
        call.clock.mark(.fetch)
        guard let bytes = lookup.body.bytes else { throw .notFound("beat") }
        return Reply(body: bytes, etag: lookup.body.etag, cacheControl: .never)
    }
}
