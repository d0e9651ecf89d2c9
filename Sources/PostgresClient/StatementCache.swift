/// A statement that the server has been asked to prepare.
final class PreparedStatement {
    let name: String
    let sql: String
    /// The types that were named at its preparation; `inferred` where the server chose.
    let types: [TypeID]
    /// Why the preparation failed, once that is known.
    var failure: PostgresError?
    fileprivate var lastUse: UInt64 = 0

    init(name: String, sql: String, types: [TypeID]) {
        self.name = name
        self.sql = sql
        self.types = types
    }

    /// True when parameters of these types can be bound. Null and text fit everywhere.
    func fits(_ parameters: [PostgresValue]) -> Bool {
        guard parameters.count == types.count else { return false }
        for index in parameters.indices {
            let type = parameters[index].type
            if type != .inferred && type != types[index] { return false }
        }
        return true
    }
}

/// The prepared statements of one connection, keyed by SQL; beyond the limit the least recently used one goes.
struct StatementCache {
    enum Lookup {
        case ready(PreparedStatement)
        /// To be prepared, after `replaced`, which no new query will use, has been deallocated.
        case missing(PreparedStatement, replaced: PreparedStatement?)
    }

    private let limit: Int
    private var statements: [String: PreparedStatement] = [:]
    private var uses: UInt64 = 0
    private var made = 0

    init(limit: Int) { self.limit = limit }

    var count: Int { statements.count }

    /// Finds the statement for `sql` that these parameters fit. One that does not fit is made anew with what both know of the types:
    /// a null tells nothing, so the first non-null value of a place settles its type.
    mutating func lookup(_ sql: String, _ parameters: [PostgresValue]) -> Lookup {
        uses += 1
        let known = statements[sql]
        if let known, known.fits(parameters) {
            known.lastUse = uses
            return .ready(known)
        }
        var types = parameters.map(\.type)
        if let known, known.types.count == types.count {
            for index in types.indices where types[index] == .inferred { types[index] = known.types[index] }
        }
        made += 1
        let statement = PreparedStatement(name: Self.name(made, sql, types), sql: sql, types: types)
        statement.lastUse = uses
        let replaced = known ?? (statements.count >= limit ? statements.values.min { $0.lastUse < $1.lastUse } : nil)
        if let replaced { statements[replaced.sql] = nil }
        statements[sql] = statement
        return .missing(statement, replaced: replaced)
    }

    /// A name that stands for this SQL wherever it is met: behind a pooler that hands one server connection from client to client, a
    /// bare number would run whatever another client has prepared under it. The digest is FNV-1a.
    private static func name(_ number: Int, _ sql: String, _ types: [TypeID]) -> String {
        var digest: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ byte: UInt8) { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01b3 }
        for byte in sql.utf8 { add(byte) }
        for type in types { withUnsafeBytes(of: type.rawValue.littleEndian) { for byte in $0 { add(byte) } } }
        return "s\(number)_\(String(digest, radix: 16))"
    }

    /// Forgets a statement that the server does not have, or whose plan is stale, so that its next use prepares it anew.
    mutating func forget(_ statement: PreparedStatement) {
        if statements[statement.sql] === statement { statements[statement.sql] = nil }
    }
}
