/// Encodes parameters into memory that is reused from query to query, in the arrays that libpq takes.
struct ParameterBuffer: ~Copyable {
    private var bytes: [UInt8] = []
    /// Where each value starts; nil for null.
    private var offsets: [Int?] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []
    private var pointers: [UnsafePointer<CChar>?] = []

    /// Replaces what the buffer holds. Throws where a value cannot be sent.
    mutating func encode(_ values: [PostgresValue]) throws(PostgresError) {
        // One huge value must not keep its memory for ever.
        if bytes.capacity > 1 << 20 { bytes = [] }
        bytes.removeAll(keepingCapacity: true)
        offsets.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        formats.removeAll(keepingCapacity: true)
        for value in values { try append(value) }
    }

    /// Lends the encoded values as libpq takes them: count, addresses, lengths, formats.
    mutating func withParameters<T>(
        _ body: (Int32, UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<Int32>, UnsafePointer<Int32>) -> T
    ) -> T {
        pointers.removeAll(keepingCapacity: true)
        return bytes.withUnsafeBytes { buffer in
            for offset in offsets {
                pointers.append(offset.flatMap { buffer.baseAddress?.advanced(by: $0).assumingMemoryBound(to: CChar.self) })
            }
            return body(Int32(offsets.count), pointers, lengths, formats)
        }
    }

    private mutating func append(_ value: PostgresValue) throws(PostgresError) {
        let start = bytes.count
        var isBinary = true
        switch value {
        case .null:
            offsets.append(nil)
            lengths.append(0)
            formats.append(1)
            return
        case .bool(let value): bytes.append(value ? 1 : 0)
        case .int32(let value): append(value)
        case .int64(let value): append(value)
        case .double(let value): append(value.bitPattern)
        case .uuidHalves(let high, let low): append(UInt128(high) << 64 | UInt128(low))
        case .bytes(let value): bytes.append(contentsOf: value)
        case .timestamp(let value): append(try Self.wire(value))
        case .text(let value), .json(let value), .numeric(let value):
            isBinary = false
            try append(value)
        case .numerics(let values):
            isBinary = false
            try appendArrayLiteral(values)
        case .uuids(let values): appendArray(of: .uuid, values) { $0.append($1) }
        case .byteStrings(let values): appendArray(of: .bytea, values) { $0.bytes.append(contentsOf: $1) }
        case .int64s(let values): appendArray(of: .int8, values) { $0.append($1) }
        case .bools(let values): appendArray(of: .bool, values) { $0.bytes.append($1 ? 1 : 0) }
        case .timestamps(let values):
            var wire: [Int64?] = []
            wire.reserveCapacity(values.count)
            for value in values { wire.append(try value.map(Self.wire)) }
            appendArray(of: .timestamptz, wire) { buffer, value in buffer.append(value) }
        case .texts(let values):
            for case .some(let value) in values { try Self.refuseNul(value) }
            appendArray(of: .text, values) { $0.bytes.append(contentsOf: $1.utf8) }
        case .jsons(let values):
            for case .some(let value) in values { try Self.refuseNul(value) }
            appendArray(of: .jsonb, values) { buffer, value in
                buffer.bytes.append(1)
                buffer.bytes.append(contentsOf: value.utf8)
            }
        }
        offsets.append(start)
        lengths.append(Int32(truncatingIfNeeded: bytes.count - start))
        formats.append(isBinary ? 1 : 0)
        // Text ends with a zero for libpq; and an empty value must still have an address, since no address means null.
        bytes.append(0)
    }

    private mutating func append<Integer: FixedWidthInteger>(_ value: Integer) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    private mutating func append(_ text: String) throws(PostgresError) {
        try Self.refuseNul(text)
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func appendArray<Element>(
        of type: TypeID, _ values: [Element?], _ append: (inout ParameterBuffer, Element) -> Void
    ) {
        appendArrayHeader(of: type, count: values.count, hasNull: values.contains { $0 == nil })
        for value in values {
            guard let value else {
                self.append(Int32(-1))
                continue
            }
            appendSized { append(&$0, value) }
        }
    }

    private mutating func appendArray<Element>(
        of type: TypeID, _ values: [Element], _ append: (inout ParameterBuffer, Element) -> Void
    ) {
        appendArrayHeader(of: type, count: values.count, hasNull: false)
        for value in values { appendSized { append(&$0, value) } }
    }

    private mutating func appendArrayHeader(of type: TypeID, count: Int, hasNull: Bool) {
        append(Int32(count == 0 ? 0 : 1))
        append(Int32(hasNull ? 1 : 0))
        append(type.rawValue)
        guard count > 0 else { return }
        append(Int32(truncatingIfNeeded: count))
        append(Int32(1))
    }

    private mutating func appendSized(_ append: (inout ParameterBuffer) -> Void) {
        let start = bytes.count
        self.append(Int32(0))
        append(&self)
        let length = Int32(truncatingIfNeeded: bytes.count - start - 4)
        withUnsafeBytes(of: length.bigEndian) { source in
            for (index, byte) in source.enumerated() { bytes[start + index] = byte }
        }
    }

    /// `{"1.50",NULL}`: the server reads the numbers.
    private mutating func appendArrayLiteral(_ values: [String?]) throws(PostgresError) {
        bytes.append(UInt8(ascii: "{"))
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            guard let value else {
                bytes.append(contentsOf: "NULL".utf8)
                continue
            }
            try Self.refuseNul(value)
            bytes.append(UInt8(ascii: "\""))
            for byte in value.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { bytes.append(UInt8(ascii: "\\")) }
                bytes.append(byte)
            }
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(UInt8(ascii: "}"))
    }

    /// The server holds no text with a zero in it; sent as text it would end there unseen. The code is the server's own.
    private static func refuseNul(_ text: String) throws(PostgresError) {
        guard !text.utf8.contains(0) else {
            throw PostgresError(.server(sqlState: "22021"), "a text parameter holds a zero byte")
        }
    }

    private static func wire(_ timestamp: PostgresTimestamp) throws(PostgresError) -> Int64 {
        let (value, overflow) = timestamp.subtractingReportingOverflow(TimestampWire.epochOffset)
        // The least value means minus infinity.
        guard !overflow, value != .min else {
            throw PostgresError(.server(sqlState: "22008"), "a timestamp parameter is out of range")
        }
        return value
    }
}
