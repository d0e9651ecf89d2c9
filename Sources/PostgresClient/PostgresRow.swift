import CLibPQ

/// One row of an answer, lent to a statement's `decode` and gone after it. Columns count from zero.
///
/// Each reader checks the column's type and throws `.decoding` where it does not fit, where the column does not exist, or, without
/// `OrNil`, where the value is null.
public struct PostgresRow: ~Copyable {
    private let result: OpaquePointer
    private let index: Int32

    init(result: OpaquePointer, index: Int32) {
        self.result = result
        self.index = index
    }

    /// Whether the column is null; also where there is no such column.
    public func isNull(_ column: Int) -> Bool { PQgetisnull(result, index, Int32(truncatingIfNeeded: column)) != 0 }

    // MARK: Values that must be there

    /// Reads `bool`.
    public func bool(_ column: Int) throws(PostgresError) -> Bool { try required(try boolOrNil(column), column) }
    /// Reads `int2` and `int4`.
    public func int32(_ column: Int) throws(PostgresError) -> Int32 { try required(try int32OrNil(column), column) }
    /// Reads `int2`, `int4`, `int8` and `oid`.
    public func int64(_ column: Int) throws(PostgresError) -> Int64 { try required(try int64OrNil(column), column) }
    /// Reads `float4` and `float8`; never `numeric`.
    public func double(_ column: Int) throws(PostgresError) -> Double { try required(try doubleOrNil(column), column) }
    /// Reads text types, enums and `json(b)`.
    public func text(_ column: Int) throws(PostgresError) -> String { try required(try textOrNil(column), column) }
    /// Reads what `text` reads, and says that it is JSON.
    public func json(_ column: Int) throws(PostgresError) -> String { try required(try textOrNil(column), column) }
    /// Copies a `bytea`.
    public func bytes(_ column: Int) throws(PostgresError) -> [UInt8] { try required(try bytesOrNil(column), column) }
    /// Reads `uuid`.
    public func uuid(_ column: Int) throws(PostgresError) -> UInt128 { try required(try uuidOrNil(column), column) }
    /// Reads `timestamptz`, and `timestamp` as UTC; refuses the two infinities.
    public func timestampMicroseconds(_ column: Int) throws(PostgresError) -> PostgresTimestamp {
        try required(try timestampMicrosecondsOrNil(column), column)
    }
    /// Reads `numeric` as the exact decimal that the server holds; refuses NaN and the infinities.
    public func numeric(_ column: Int) throws(PostgresError) -> String { try required(try numericOrNil(column), column) }
    /// Reads `numeric` as a whole number of its `scale`-th decimal place, for example cents at scale 2. Throws where that would not
    /// be exact or does not fit.
    public func numericMinorUnits(_ column: Int, scale: Int) throws(PostgresError) -> Int64 {
        try required(try numericMinorUnitsOrNil(column, scale: scale), column)
    }
    /// Reads `text[]`, without nulls.
    public func texts(_ column: Int) throws(PostgresError) -> [String] { try required(try textsOrNil(column), column) }
    /// Reads `uuid[]`, without nulls.
    public func uuids(_ column: Int) throws(PostgresError) -> [UInt128] { try required(try uuidsOrNil(column), column) }
    /// Reads `int8[]`, without nulls.
    public func int64s(_ column: Int) throws(PostgresError) -> [Int64] { try required(try int64sOrNil(column), column) }

    /// Lends the bytes of a `bytea`, or the UTF-8 of a text or `json(b)` value, without copying them.
    public func withBytes<T>(
        _ column: Int, _ body: (UnsafeRawBufferPointer) throws(PostgresError) -> T
    ) throws(PostgresError) -> T {
        let (type, cell) = try cell(column)
        guard let cell else { throw Self.null(column) }
        return try body(try Self.content(cell, of: type, column, orBytea: true))
    }

    // MARK: Values that may be null

    public func boolOrNil(_ column: Int) throws(PostgresError) -> Bool? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        guard type == .bool, cell.count == 1 else { throw Self.mismatch(column, type) }
        return cell[0] != 0
    }

    public func int32OrNil(_ column: Int) throws(PostgresError) -> Int32? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        switch (type, cell.count) {
        case (.int4, 4): return cell.integer(Int32.self)
        case (.int2, 2): return Int32(cell.integer(Int16.self))
        default: throw Self.mismatch(column, type)
        }
    }

    public func int64OrNil(_ column: Int) throws(PostgresError) -> Int64? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        switch (type, cell.count) {
        case (.int8, 8): return cell.integer(Int64.self)
        case (.int4, 4): return Int64(cell.integer(Int32.self))
        case (.int2, 2): return Int64(cell.integer(Int16.self))
        case (.oid, 4): return Int64(cell.integer(UInt32.self))
        default: throw Self.mismatch(column, type)
        }
    }

    public func doubleOrNil(_ column: Int) throws(PostgresError) -> Double? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        switch (type, cell.count) {
        case (.float8, 8): return Double(bitPattern: cell.integer(UInt64.self))
        case (.float4, 4): return Double(Float(bitPattern: cell.integer(UInt32.self)))
        default: throw Self.mismatch(column, type)
        }
    }

    public func textOrNil(_ column: Int) throws(PostgresError) -> String? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        return String(decoding: try Self.content(cell, of: type, column, orBytea: false), as: UTF8.self)
    }

    public func jsonOrNil(_ column: Int) throws(PostgresError) -> String? { try textOrNil(column) }

    public func bytesOrNil(_ column: Int) throws(PostgresError) -> [UInt8]? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        return [UInt8](try Self.content(cell, of: type, column, orBytea: true))
    }

    public func uuidOrNil(_ column: Int) throws(PostgresError) -> UInt128? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        guard type == .uuid, cell.count == 16 else { throw Self.mismatch(column, type) }
        return cell.integer(UInt128.self)
    }

    public func timestampMicrosecondsOrNil(_ column: Int) throws(PostgresError) -> PostgresTimestamp? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        guard type == .timestamptz || type == .timestamp, cell.count == 8 else { throw Self.mismatch(column, type) }
        let value = cell.integer(Int64.self)
        let (microseconds, overflow) = value.addingReportingOverflow(TimestampWire.epochOffset)
        guard !overflow, value != .min else { throw PostgresError(.decoding, "column \(column): the timestamp is infinite") }
        return microseconds
    }

    public func numericOrNil(_ column: Int) throws(PostgresError) -> String? {
        guard let number = try numericCell(column) else { return nil }
        return number.decimal
    }

    public func numericMinorUnitsOrNil(_ column: Int, scale: Int) throws(PostgresError) -> Int64? {
        guard let number = try numericCell(column) else { return nil }
        guard let units = number.minorUnits(scale: scale) else {
            throw PostgresError(.decoding, "column \(column): not a whole number at scale \(scale), or too large")
        }
        return units
    }

    public func textsOrNil(_ column: Int) throws(PostgresError) -> [String]? {
        try array(column) { type, bytes in type.isText ? String(decoding: bytes, as: UTF8.self) : nil }
    }

    public func uuidsOrNil(_ column: Int) throws(PostgresError) -> [UInt128]? {
        try array(column) { type, bytes in type == .uuid && bytes.count == 16 ? bytes.integer(UInt128.self) : nil }
    }

    public func int64sOrNil(_ column: Int) throws(PostgresError) -> [Int64]? {
        try array(column) { type, bytes in
            switch (type, bytes.count) {
            case (.int8, 8): bytes.integer(Int64.self)
            case (.int4, 4): Int64(bytes.integer(Int32.self))
            default: nil
            }
        }
    }

    // MARK: Cells

    /// The column's type and the value's bytes, nil where it is null. They live as long as the result.
    private func cell(_ column: Int) throws(PostgresError) -> (TypeID, UnsafeRawBufferPointer?) {
        let number = Int32(truncatingIfNeeded: column)
        guard column >= 0, number < PQnfields(result) else { throw PostgresError(.decoding, "there is no column \(column)") }
        let type = TypeID(rawValue: PQftype(result, number))
        let length = PQgetlength(result, index, number)
        if length == 0, PQgetisnull(result, index, number) != 0 { return (type, nil) }
        return (type, UnsafeRawBufferPointer(start: PQgetvalue(result, index, number), count: Int(length)))
    }

    private static func content(
        _ cell: UnsafeRawBufferPointer, of type: TypeID, _ column: Int, orBytea: Bool
    ) throws(PostgresError) -> UnsafeRawBufferPointer {
        if type == .jsonb {
            // A version byte, then the text.
            guard cell.first == 1 else { throw mismatch(column, type) }
            return UnsafeRawBufferPointer(rebasing: cell.dropFirst())
        }
        guard type.isText || (orBytea && type == .bytea) else { throw mismatch(column, type) }
        return cell
    }

    private func numericCell(_ column: Int) throws(PostgresError) -> NumericWire? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        guard type == .numeric else { throw Self.mismatch(column, type) }
        guard let number = NumericWire(cell) else { throw PostgresError(.decoding, "column \(column): not a finite number") }
        return number
    }

    /// Reads an array of one dimension without nulls; `element` answers nil where the type does not fit.
    private func array<Element>(
        _ column: Int, _ element: (TypeID, UnsafeRawBufferPointer) -> Element?
    ) throws(PostgresError) -> [Element]? {
        let (type, cell) = try cell(column)
        guard let cell else { return nil }
        guard let elements = ArrayWire.decode(cell, element) else { throw Self.mismatch(column, type) }
        return elements
    }

    private func required<Value>(_ value: Value?, _ column: Int) throws(PostgresError) -> Value {
        guard let value else { throw Self.null(column) }
        return value
    }

    private static func null(_ column: Int) -> PostgresError { PostgresError(.decoding, "column \(column) is null") }

    private static func mismatch(_ column: Int, _ type: TypeID) -> PostgresError {
        PostgresError(.decoding, "column \(column) of type \(type.rawValue) cannot be read so")
    }
}
