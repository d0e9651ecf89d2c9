import Contract
import DataPlane
import PostgresClient

/// Writes and reads the audit log. Writes as `system`, whoever acts: what has to be accounted for is nobody's own.
public final class AuditStore: AuditTrail {
    private let postgres: PostgresAccess
    private let timeout: Duration
    private let group: GroupCommit<AuditFiling>

    public init(postgres: PostgresAccess, timeout: Duration = .seconds(2), observer: any Observer) {
        self.postgres = postgres
        self.timeout = timeout
        group = GroupCommit(kind: "audit", observer: observer) { filings throws(Problem) in
            _ = try await postgres.rows(AuditFiling.statement, AuditFiling.parameters(of: filings), as: .system, within: timeout)
        }
    }

    public func record(_ event: AuditEvent) async throws(Problem) { try await group.add(AuditFiling(event)) }

    // MARK: Reading

    /// The page of `plan`, the newest entry first, with what `total` says of it. Throws `storeUnavailable` or `overloaded`.
    func page(_ plan: AuditPlan, as principal: PostgresSettings) async throws(Problem) -> ListPage<AuditEntry> {
        let statement = PostgresStatement(plan.page.sql) { row throws(PostgresError) in try AuditEntry(row) }
        let total = ListTotal(counted: try await total(plan, as: principal))
        let entries = try await postgres.rows(statement, plan.page.parameters, as: principal, within: timeout)
        return ListPage(cutting: entries, of: plan.request, total: total) { entry in
            Cursor(order: plan.order, value: .integer(entry.at.microseconds), id: entry.id)
        }
    }

    /// How many entries the list of `plan` has, counted to one beyond `ListTotal.mostCounted`. Throws as `page`.
    func total(_ plan: AuditPlan, as principal: PostgresSettings) async throws(Problem) -> Int64 {
        let statement = PostgresStatement(plan.total.sql) { row throws(PostgresError) in try row.int64(0) }
        return try await postgres.rows(statement, plan.total.parameters, as: principal, within: timeout).first ?? 0
    }
}
