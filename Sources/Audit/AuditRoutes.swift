import Contract
import DataPlane
import HTTPAPI
import JSON
import PostgresClient

/// What admins, and jobs with a key for it, read of the audit log.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /api/admin/audit | anyOf(role:admin, scope:audit:read) |
public struct AuditRoutes: Sendable {
    private let store: AuditStore

    public init(store: AuditStore) { self.store = store }

    public var routes: [Route] {
        [
            .get("/api/admin/audit", .anyOf([.role(.admin), .scope(.auditRead)])) { call throws(Problem) in try await list(&call) }
        ]
    }

    private static let parameters = [
        "page", "limit", "cursor", "actor", "action", "category", "severity", "target", "targetKind", "from", "to",
    ]

    private func list(_ call: inout Call) async throws(Problem) -> Reply {
        var query = try call.query(allowed: Self.parameters)
        let page = query.page()
        let filter = Self.filter(&query)
        try query.check()
        call.clock.mark(.parse)
        let plan = try AuditPlan(filter, page)
        call.clock.mark(.plan)
        let entries = try await store.page(plan, as: Self.reader(call.principal))
        call.clock.mark(.fetch)
        return .list(entries) { $1.auditEntry($0) }
    }

    /// Rows are for admins. A key's scope is known at the door alone, which has let it through, so it reads with the gateway's own eyes.
    private static func reader(_ principal: Principal) -> PostgresSettings {
        if case .service = principal { return .system }
        return PostgresSettings(principal)
    }

    private static func filter(_ query: inout QueryParameters) -> AuditFilter {
        var filter = AuditFilter()
        filter.actor = id("actor", &query)
        filter.action = query.text("action")
        filter.category = query.choice("category")
        filter.severity = query.choice("severity")
        filter.target = id("target", &query)
        filter.targetKind = query.text("targetKind", longest: 50)
        filter.from = time("from", &query)
        filter.to = time("to", &query)
        if let from = filter.from, let to = filter.to, from >= to { query.complain("from", "must be before to") }
        return filter
    }

    private static func id(_ name: String, _ query: inout QueryParameters) -> EntityID? {
        guard let text = query.text(name) else { return nil }
        let id = EntityID(text)
        if id == nil { query.complain(name, "must be an id") }
        return id
    }

    private static func time(_ name: String, _ query: inout QueryParameters) -> Timestamp? {
        guard let text = query.text(name) else { return nil }
        let time = Timestamp(text)
        if time == nil { query.complain(name, "must be a time such as 2026-11-21T10:03:00Z") }
        return time
    }
}

extension JSONWriter {
    fileprivate mutating func auditEntry(_ entry: AuditEntry) {
        object { json in
            json.key("id")
            json.id(entry.id)
            json.key("at")
            json.timestamp(entry.at)
            json.key("action")
            json.string(entry.action)
            json.key("category")
            json.string(entry.category)
            json.key("severity")
            json.string(entry.severity)
            if let actor = entry.actor {
                json.key("actor")
                json.id(actor)
            }
            if let kind = entry.targetKind, let target = entry.targetID {
                json.key("target")
                json.object { json in
                    json.key("kind")
                    json.string(kind)
                    json.key("id")
                    json.id(target)
                }
            }
            json.optional("address", entry.address)
            json.optional("userAgent", entry.userAgent)
            json.optional("requestId", entry.requestID)
            json.key("metadata")
            var metadata = entry.metadata
            metadata.withUTF8 { json.raw(UnsafeRawBufferPointer($0)) }
        }
    }

    private mutating func optional(_ name: StaticString, _ text: String?) {
        guard let text else { return }
        key(name)
        string(text)
    }
}
