import CLibPQ

/// Owns one answer of the server and frees it once.
struct PostgresResult: ~Copyable {
    private let pointer: OpaquePointer

    init(stealing pointer: OpaquePointer) { self.pointer = pointer }

    deinit { PQclear(pointer) }

    var status: ExecStatusType { PQresultStatus(pointer) }

    /// The command's tag, for example `COMMIT` or `UPDATE 3`.
    var tag: String { PQcmdStatus(pointer).map { String(cString: $0) } ?? "" }

    /// How many rows an INSERT, UPDATE, DELETE or SELECT touched; 0 for other commands.
    var affectedRows: Int { PQcmdTuples(pointer).flatMap { Int(String(cString: $0)) } ?? 0 }

    func decode<Row>(
        into rows: inout [Row], _ decode: (borrowing PostgresRow) throws(PostgresError) -> Row
    ) throws(PostgresError) {
        let count = PQntuples(pointer)
        rows.reserveCapacity(rows.count + Int(count))
        for index in 0..<count { rows.append(try decode(PostgresRow(result: pointer, index: index))) }
    }

    /// True when the server is about to end the connection, or already has.
    var isFatal: Bool {
        guard let severity = field(.severity) else { return true }
        return severity == "FATAL" || severity == "PANIC"
    }

    /// True when a prepared statement is unknown to the server, or its answer's columns have changed since. Told by the place in the
    /// server that raised it, because the code 0A000 has many meanings and messages are translated.
    var isStalePlan: Bool {
        switch field(.sqlState) {
        case "26000": true
        case "0A000": field(.sourceFunction) == "RevalidateCachedQuery"
        default: false
        }
    }

    var sqlState: String? { field(.sqlState) }

    var error: PostgresError {
        let message = PQresultErrorMessage(pointer).map { String(cString: $0) } ?? ""
        guard let sqlState else { return PostgresError(.connection, message) }
        return PostgresError(.server(sqlState: sqlState), message, constraint: field(.constraint), hint: field(.hint))
    }

    private enum Field: Character {
        case severity = "V"
        case sqlState = "C"
        case hint = "H"
        case constraint = "n"
        case sourceFunction = "R"
    }

    private func field(_ field: Field) -> String? {
        guard let code = field.rawValue.asciiValue else { return nil }
        return PQresultErrorField(pointer, Int32(code)).map { String(cString: $0) }
    }
}
