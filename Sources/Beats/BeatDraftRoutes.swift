import Contract
import DataPlane
import HTTPAPI
import HTTPTypes
import JSON

/// How beats are made, changed, published and taken back.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | POST | /api/beats | role:creator |
/// | PUT, PATCH | /api/beats/{id} | anyOf(allOf(owner, role:creator), collaborator) |
/// | DELETE | /api/beats/{id} | owner |
/// | GET | /api/beats/{id}/versions | anyOf(owner, collaborator) |
/// | GET | /api/users/me/beats | signedIn |
/// | POST | /api/beats/{id}/publish | allOf(owner, role:creator) |
/// | POST | /api/beats/{id}/unpublish, archive | owner |
///
/// An owner from whom an admin took the role of a creator still reads their beats, takes them back and deletes them, and no more.
public struct BeatDraftRoutes: Sendable {
    private let service: BeatDraftService

    public init(service: BeatDraftService) { self.service = service }

    /// A waveform takes most of it.
    private static let body = Route.BodyRule.json(limit: 128 << 10)
    private static let readers = Policy.anyOf([.relation(.owner), .relation(.collaborator)])
    private static let editors = Policy.anyOf([.owningCreator, .relation(.collaborator)])

    public var routes: [Route] {
        [
            .post("/api/beats", .role(.creator), body: Self.body) { call throws(Problem) in try await create(&call) },
            .put("/api/beats/{id}", Self.editors, body: Self.body) { call throws(Problem) in try await edit(&call, .whole) },
            .patch("/api/beats/{id}", Self.editors, body: Self.body) { call throws(Problem) in try await edit(&call, .partial) },
            .delete("/api/beats/{id}", .relation(.owner)) { call throws(Problem) in try await delete(&call) },
            .get("/api/beats/{id}/versions", Self.readers) { call throws(Problem) in try await versions(&call) },
            .get("/api/users/me/beats", .signedIn) { call throws(Problem) in try await own(&call) },
            .post("/api/beats/{id}/publish", .owningCreator, body: .none) { call throws(Problem) in try await move(&call, .published) },
            .post("/api/beats/{id}/unpublish", .relation(.owner), body: .none) { call throws(Problem) in try await move(&call, .draft) },
            .post("/api/beats/{id}/archive", .relation(.owner), body: .none) { call throws(Problem) in try await move(&call, .archived) },
        ]
    }

    private func create(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let edit = try BeatEdit(try call.input(allowed: BeatEdit.members), .whole)
        call.clock.mark(.parse)
        let made = try await service.create(edit, as: call.idToMake(), claim: call.claim, by: call.account())
        var reply = try Self.reply(made, &call)
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
        return try Self.reply(
            try await service.move(id, to: status, ifVersion: IfMatch(call), claim: call.claim, by: call.account()), &call)
    }

    private func delete(_ call: inout Call) async throws(Problem) -> Reply {
        _ = try call.query(allowed: [])
        let id = try call.id("id", of: "beat")
        call.clock.mark(.parse)
        try await service.delete(id, ifVersion: IfMatch(call), by: call.account())
        call.clock.mark(.fetch)
        return .done
    }

    private func own(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["page", "limit", "cursor", "status"])
        let page = query.page()
        let status = query.choice("status", BeatStatus.self)
        try query.check()
        let account = try call.account()
        call.clock.mark(.parse)
        let list = try await service.own(page, status, by: account)
        call.clock.mark(.fetch)
        return .json(list.json)
    }

    private func versions(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: ["limit", "cursor"])
        let page = query.page()
        try query.check()
        let (id, account) = (try call.id("id", of: "beat"), try call.account())
        call.clock.mark(.parse)
        let changes = try await service.changes(of: id, from: page.position, limit: page.limit + 1, for: account)
        call.clock.mark(.fetch)
        return .list(
            ListPage(cutting: changes, of: page, total: nil) { BeatDraftService.cursor(after: $0, of: id) }, Self.write)
    }

    private static func write(_ change: BeatChange, into json: inout JSONWriter) {
        json.object { json in
            json.key("version")
            json.integer(change.v)
            json.key("changes")
            json.string(change.text)
            if let by = EntityID(change.by) {
                json.key("by")
                json.id(by)
            }
            json.key("createdAt")
            json.timestamp(Timestamp(milliseconds: change.at))
        }
    }

    private static func reply(_ lookup: Lookup, _ call: inout Call) throws(Problem) -> Reply {
        call.clock.mark(.fetch)
        guard let bytes = lookup.body.bytes else { throw .notFound("beat") }
        return Reply(body: bytes, etag: lookup.body.etag, cacheControl: .never)
    }
}
