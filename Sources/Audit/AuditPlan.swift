import Contract
import JSON
import PostgresClient

/// Which entries a list holds. Every condition that is set must hold.
struct AuditFilter: Sendable, Equatable {
    var actor: EntityID?
    var action: String?
    var category: AuditEvent.Category?
    var severity: AuditEvent.Severity?
    /// What it was done to: its id, its kind, or both.
    var target: EntityID?
    var targetKind: String?
    /// Not before.
    var from: Timestamp?
    /// Before.
    var to: Timestamp?
}

/// A list of the audit log, ready for PostgreSQL: texts that stand here and values beside them. Pure.
struct AuditPlan: Sendable {
    struct Query: Sendable {
        let sql: String
        let parameters: [PostgresValue]
    }

    /// One entry more than the page has, where there is one.
    let page: Query
    let total: Query
    let request: PageRequest
    /// Names the filter in cursors.
    let order: UInt64

    /// Throws `invalidCursor` for a cursor of another list.
    init(_ filter: AuditFilter, _ request: PageRequest) throws(Problem) {
        var conditions = Conditions(filter)
        total = Query(
            sql: """
                SELECT count(*) FROM (
                    SELECT FROM audit_log AS entry WHERE \(conditions.sql) LIMIT \(ListTotal.mostCounted + 1)
                ) AS counted
                """, parameters: conditions.parameters)
        self.request = request
        order = conditions.digest
        if let last = try request.moment(of: order) {
            let at = conditions.add(.timestamp(last.time.microseconds))
            let id = conditions.add(.uuid(last.id.rawValue))
            conditions.require("(entry.at, entry.id) < (\(at), \(id))")
        }
        let most = conditions.add(.int64(Int64(request.limit) + 1))
        let skip = conditions.add(.int64(Int64(request.offset)))
        page = Query(
            sql: """
                SELECT \(AuditEntry.columns) FROM audit_log AS entry WHERE \(conditions.sql)
                ORDER BY entry.at DESC, entry.id DESC LIMIT \(most) OFFSET \(skip)
                """, parameters: conditions.parameters)
    }

    private struct Conditions {
        private var texts: [String] = []
        private(set) var parameters: [PostgresValue] = []

        init(_ filter: AuditFilter) {
            if let actor = filter.actor { require("entry.actor_id = \(add(.uuid(actor.rawValue)))") }
            if let action = filter.action { require("entry.action = \(add(.text(action)))") }
            if let category = filter.category { require("entry.category = \(add(.text(category.rawValue)))") }
            if let severity = filter.severity {
                // Said so that the index of all but the commonest severity is known to do.
                if severity != .info { require("entry.severity <> 'info'") }
                require("entry.severity = \(add(.text(severity.rawValue)))")
            }
            if let target = filter.target { require("entry.target_id = \(add(.uuid(target.rawValue)))") }
            if let kind = filter.targetKind { require("entry.target_kind = \(add(.text(kind)))") }
            if let from = filter.from { require("entry.at >= \(add(.timestamp(from.microseconds)))") }
            if let to = filter.to { require("entry.at < \(add(.timestamp(to.microseconds)))") }
        }

        var sql: String { texts.isEmpty ? "true" : texts.joined(separator: " AND ") }

        var digest: UInt64 {
            var digest = Digest(sql)
            for parameter in parameters { digest.update("\(parameter)") }
            return digest.value
        }

        mutating func require(_ condition: String) { texts.append(condition) }

        /// The parameter's place: `$3`.
        mutating func add(_ value: PostgresValue) -> String {
            parameters.append(value)
            return "$\(parameters.count)"
        }
    }
}
