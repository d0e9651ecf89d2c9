import Contract
import JSON
import PostgresClient

/// How entries of the audit log get into Postgres: `kababeat_file_audit` of `sql/` adds them as the system, whoever acts.
public struct AuditFiling: Sendable {
    /// Takes `parameters(of:)`.
    public static let statement = PostgresStatement<Void>(
        """
        SELECT kababeat_file_audit(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::jsonb[],
            $11::text[])
        """)

    private let id = EntityID.now
    private let event: AuditEvent
    private let metadata: String

    public init(_ event: AuditEvent) {
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

    /// Those of `statement`, for any number of entries.
    public static func parameters(of filings: [AuditFiling]) -> [PostgresValue] {
        func texts(_ text: (AuditEvent) -> String?) -> PostgresValue { .texts(filings.map { text($0.event) }) }
        return [
            .uuids(filings.map(\.id.rawValue)), texts { $0.actor?.description }, texts(\.action), texts(\.category.rawValue),
            texts(\.severity.rawValue), texts { $0.caller?.address.description },
            texts { event in event.caller.flatMap { $0.userAgent.isEmpty ? nil : AuditEvent.harmless($0.userAgent) } },
            texts { $0.target?.kind }, texts { $0.target?.id.description }, .jsons(filings.map(\.metadata)),
            texts { $0.caller?.request?.description },
        ]
    }
}

extension PostgresTransaction {
    /// Adds an entry to the audit log that commits with this transaction, or is not there either.
    public func file(_ event: AuditEvent) async throws(PostgresError) { try await file([event]) }

    /// The same for any number of them.
    public func file(_ events: [AuditEvent]) async throws(PostgresError) {
        guard !events.isEmpty else { return }
        try await execute(AuditFiling.statement, AuditFiling.parameters(of: events.map { AuditFiling($0) }))
    }
}

extension PostgresAccess {
    /// Runs one statement, and files what its rows have to be accounted for with, in one transaction. Throws as `rows` does.
    public func rows<Row: Sendable>(
        _ statement: PostgresStatement<Row>, _ parameters: [PostgresValue], as principal: PostgresSettings, within limit: Duration,
        refusals: [String: Problem] = [:], filing events: @Sendable ([Row]) -> [AuditEvent]
    ) async throws(Problem) -> [Row] {
        try await transaction(as: principal, within: limit, refusals: refusals) { transaction in
            let rows = try await transaction.query(statement, parameters)
            try await transaction.file(events(rows))
            return rows
        }
    }
}
