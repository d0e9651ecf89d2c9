/// Writes BSON elements at the end of a byte array. Each function says whether the result can be sent.
enum BSONWriter {
    /// Appends one field.
    static func append(_ key: String, _ value: BSONValue, to bytes: inout [UInt8]) -> Bool {
        let typePosition = bytes.count
        bytes.append(0)
        bytes.append(contentsOf: key.utf8)
        let isKeyFine = !bytes[(typePosition + 1)...].contains(0)
        bytes.append(0)
        return append(value, typeAt: typePosition, to: &bytes) && isKeyFine
    }

    /// Puts the length into the document or array begun at `start`.
    static func storeLength(from start: Int, in bytes: inout [UInt8]) {
        let length = UInt32(truncatingIfNeeded: bytes.count - start).littleEndian
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: length, toByteOffset: start, as: UInt32.self) }
    }

    /// Ends the document or array begun at `start`.
    static func endDocument(from start: Int, in bytes: inout [UInt8]) {
        bytes.append(0)
        storeLength(from: start, in: &bytes)
    }

    private static func append(_ value: BSONValue, typeAt typePosition: Int, to bytes: inout [UInt8]) -> Bool {
        let kind: BSONKind
        var isFine = true
        switch value {
        case .null:
            kind = .null
        case .bool(let value):
            kind = .bool
            bytes.append(value ? 1 : 0)
        case .int32(let value):
            kind = .int32
            append(value, to: &bytes)
        case .int64(let value):
            kind = .int64
            append(value, to: &bytes)
        case .double(let value):
            kind = .double
            append(value.bitPattern, to: &bytes)
        case .string(let value):
            kind = .string
            let start = bytes.count
            append(UInt32(0), to: &bytes)
            bytes.append(contentsOf: value.utf8)
            bytes.append(0)
            let length = UInt32(truncatingIfNeeded: bytes.count - start - 4).littleEndian
            bytes.withUnsafeMutableBytes { $0.storeBytes(of: length, toByteOffset: start, as: UInt32.self) }
        case .date(let milliseconds):
            kind = .date
            append(milliseconds, to: &bytes)
        case .uuid(let value):
            kind = .binary
            append(UInt32(16), to: &bytes)
            bytes.append(BSONBinarySubtype.uuid)
            withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
        case .binary(let value):
            kind = .binary
            append(UInt32(truncatingIfNeeded: value.count), to: &bytes)
            bytes.append(BSONBinarySubtype.generic)
            bytes.append(contentsOf: value)
        case .document(let document):
            kind = .document
            isFine = document.isWellFormed
            bytes.append(contentsOf: document.bytes)
        case .array(let values):
            kind = .array
            isFine = append(values, to: &bytes)
        case .raw(let document):
            kind = .document
            bytes.append(contentsOf: document.bytes)
        }
        bytes[typePosition] = kind.rawValue
        return isFine
    }

    private static func append(_ values: [BSONValue], to bytes: inout [UInt8]) -> Bool {
        let start = bytes.count
        var isFine = true
        append(UInt32(0), to: &bytes)
        for (index, value) in values.enumerated() {
            let typePosition = bytes.count
            bytes.append(0)
            append(decimal: index, to: &bytes)
            bytes.append(0)
            if !append(value, typeAt: typePosition, to: &bytes) { isFine = false }
        }
        endDocument(from: start, in: &bytes)
        return isFine
    }

    /// An array's keys are its indexes.
    private static func append(decimal number: Int, to bytes: inout [UInt8]) {
        if number >= 10 { append(decimal: number / 10, to: &bytes) }
        bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
    }

    private static func append<Number: FixedWidthInteger>(_ number: Number, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
