import Contract
import PostgresClient

/// One row of the audit log, as it was written.
public struct AuditEntry: Sendable, Equatable {
    public let id: EntityID
    /// When PostgreSQL took it in.
    public let at: Timestamp
    /// The account that did it, if one did.
    public let actor: EntityID?
    public let action: String
    public let category: String
    public let severity: String
    public let address: String?
    public let userAgent: String?
    public let targetKind: String?
    public let targetID: EntityID?
    /// A JSON object in the one spelling that PostgreSQL gives it.
    public let metadata: String
    public let requestID: String?

    /// What `init(row:from:)` reads, in its order, of `audit_log` under the name `entry`.
    static let columns = """
        entry.id, entry.at, entry.actor_id, entry.action, entry.category, entry.severity, entry.address, entry.agent, entry.target_kind,
        entry.target_id, entry.metadata, entry.request_id
        """

    /// Reads `columns` from the column numbered `first` on.
    init(_ row: borrowing PostgresRow, from first: Int = 0) throws(PostgresError) {
        id = EntityID(rawValue: try row.uuid(first))
        at = Timestamp(microseconds: try row.timestampMicroseconds(first + 1))
        actor = try row.uuidOrNil(first + 2).map(EntityID.init(rawValue:))
        action = try row.text(first + 3)
        category = try row.text(first + 4)
        severity = try row.text(first + 5)
        address = try row.textOrNil(first + 6)
        userAgent = try row.textOrNil(first + 7)
        targetKind = try row.textOrNil(first + 8)
        targetID = try row.uuidOrNil(first + 9).map(EntityID.init(rawValue:))
        metadata = try row.json(first + 10)
        requestID = try row.textOrNil(first + 11)
    }

    init(
        id: EntityID, at: Timestamp, actor: EntityID?, action: String, category: String, severity: String, address: String?,
        userAgent: String?, targetKind: String?, targetID: EntityID?, metadata: String, requestID: String?
    ) {
        self.id = id
        self.at = at
        self.actor = actor
        self.action = action
        self.category = category
        self.severity = severity
        self.address = address
        self.userAgent = userAgent
        self.targetKind = targetKind
        self.targetID = targetID
        self.metadata = metadata
        self.requestID = requestID
    }
}
