/// One SQL statement and how a row of its answer is read. It is prepared once per connection, keyed by its text, and its answer
/// comes in binary.
public struct PostgresStatement<Row: Sendable>: Sendable {
    public let sql: String
    let decode: @Sendable (borrowing PostgresRow) throws(PostgresError) -> Row

    /// `sql` holds one statement with `$1`, `$2` ... for values and nothing that came from a client. `decode` runs on the reactor's
    /// thread: it must only read the row.
    public init(_ sql: String, decode: @escaping @Sendable (borrowing PostgresRow) throws(PostgresError) -> Row) {
        self.sql = sql
        self.decode = decode
    }
}

extension PostgresStatement where Row == Void {
    /// A statement whose rows, if any, are of no interest.
    public init(_ sql: String) {
        self.init(sql) { (_: borrowing PostgresRow) throws(PostgresError) in }
    }
}

/// Settings that hold for one transaction and travel with it, for example the principal that row security asks for.
///
/// They are set with `set_config(name, value, true)` in the same round trip as the query, so they end with its transaction and
/// can never be seen by another request on the same connection.
public struct PostgresSettings: Sendable, Hashable {
    let sql: String
    let parameters: [PostgresValue]

    /// Pairs are set in order. Keep one value per principal and reuse it: making one builds a short SQL text.
    public init(_ pairs: [(name: String, value: String)]) {
        let calls = pairs.indices.map { "set_config($\(2 * $0 + 1), $\(2 * $0 + 2), true)" }
        sql = "SELECT " + calls.joined(separator: ", ")
        parameters = pairs.flatMap { [.text($0.name), .text($0.value)] }
    }

    var isEmpty: Bool { parameters.isEmpty }

    public static func == (left: PostgresSettings, right: PostgresSettings) -> Bool { left.parameters == right.parameters }

    public func hash(into hasher: inout Hasher) {
        for case .text(let text) in parameters { hasher.combine(text) }
    }
}
