import Contract
import DataPlane
import JSON
import PostgresClient

/// Writes and reads the audit log. Writes as `system`, whoever acts: what has to be accounted for is nobody's own.
public final class AuditStore: AuditTrail {
    private let postgres: PostgresAccess
    private let timeout: Duration
    private let group: GroupCommit<Record>

    public init(postgres: PostgresAccess, timeout: Duration = .seconds(2), observer: any Observer) {
        self.postgres = postgres
        self.timeout = timeout
        group = GroupCommit(kind: "audit", observer: observer) { records throws(Problem) in
            _ = try await postgres.rows(Self.insert, Self.parameters(records), as: .system, within: timeout)
        }
    }

    public func record(_ event: AuditEvent) async throws(Problem) { try await group.add(Record(event)) }

    // MARK: Writing

    private struct Record: Sendable {
        let id: EntityID
        let event: AuditEvent
        let metadata: String

        init(_ event: AuditEvent) {
            id = .now
            self.event = event
            var json = JSONWriter(capacity: 64)
            json.object { json in
                for (key, value) in event.metadata {
                    json.key(key.rawValue)
                    json.string(value)
                }
            }
            metadata = String(decoding: json.bytes, as: UTF8.self)
        }
    }

    private static let insert = PostgresStatement<Void>(
        """
        INSERT INTO audit_log
            (id, actor_id, action, category, severity, address, agent, target_kind, target_id, metadata, request_id)
        SELECT id, actor::uuid, action, category, severity, address, agent, target_kind, target::uuid, metadata, request
        FROM unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::jsonb[],
            $11::text[]
        ) AS record (id, actor, action, category, severity, address, agent, target_kind, target, metadata, request)
        """)

    private static func parameters(_ records: [Record]) -> [PostgresValue] {
        func texts(_ text: (AuditEvent) -> String?) -> PostgresValue { .texts(records.map { text($0.event) }) }
        return [
            .uuids(records.map(\.id.rawValue)), texts { $0.actor?.description }, texts(\.action), texts(\.category.rawValue),
            texts(\.severity.rawValue), texts { $0.caller?.address.description },
            texts { event in event.caller.flatMap { $0.userAgent.isEmpty ? nil : AuditEvent.harmless($0.userAgent) } },
            texts { $0.target?.kind }, texts { $0.target?.id.description }, .jsons(records.map(\.metadata)),
            texts { $0.caller?.request?.description },
        ]
    }

    // MARK: Reading

    /// The entries of `plan`, newest first, and where the next page begins. Throws `storeUnavailable` or `overloaded`.
    func page(_ plan: AuditPlan, as principal: PostgresSettings) async throws(Problem) -> (entries: [AuditEntry], next: Cursor?) {
        let statement = PostgresStatement(plan.page.sql) { row throws(PostgresError) in try AuditEntry(row) }
        var entries = try await postgres.rows(statement, plan.page.parameters, as: principal, within: timeout)
        guard entries.count > plan.limit else { return (entries, nil) }
        entries.removeLast(entries.count - plan.limit)
        return (entries, entries.last.map { Cursor(order: plan.order, value: .integer($0.at.microseconds), id: $0.id) })
    }

    /// How many entries the list of `plan` has, counted to one beyond `AuditPlan.mostCounted`. Throws as `page`.
    func total(_ plan: AuditPlan, as principal: PostgresSettings) async throws(Problem) -> Int64 {
        let statement = PostgresStatement(plan.total.sql) { row throws(PostgresError) in try row.int64(0) }
        return try await postgres.rows(statement, plan.total.parameters, as: principal, within: timeout).first ?? 0
    }
}
