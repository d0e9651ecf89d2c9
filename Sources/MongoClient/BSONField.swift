/// One field of a ``BSONView``, lent with it. Reading a value makes nothing but that value: no `String` for the key, no copy.
///
/// Every accessor answers nil when the field holds another kind.
public struct BSONField: ~Copyable {
    /// What the field holds.
    public let kind: BSONKind

    @usableFromInline let name: UnsafeRawPointer
    @usableFromInline let nameByteCount: Int
    @usableFromInline let value: UnsafeRawPointer
    @usableFromInline let valueByteCount: Int

    /// The field whose type byte is at `position`; nil at the document's end. The document was checked before.
    @inlinable
    init?(at position: UnsafeRawPointer) {
        guard let kind = BSONKind(rawValue: position.load(as: UInt8.self)) else { return nil }
        self.kind = kind
        name = position + 1
        var count = 0
        while name.load(fromByteOffset: count, as: UInt8.self) != 0 { count += 1 }
        nameByteCount = count
        value = name + (count + 1)
        valueByteCount = kind.fixedByteCount ?? BSONField.byteCount(of: kind, at: value)
    }

    @inlinable
    static func byteCount(of kind: BSONKind, at value: UnsafeRawPointer) -> Int {
        let length = Int(Int32(littleEndian: value.loadUnaligned(as: Int32.self)))
        switch kind {
        case .binary: return length + 5
        case .string, .code, .symbol: return length + 4
        case .databasePointer: return length + 16
        case .regularExpression:
            var count = 0
            for _ in 0..<2 {
                while value.load(fromByteOffset: count, as: UInt8.self) != 0 { count += 1 }
                count += 1
            }
            return count
        default: return length
        }
    }

    @inlinable var end: UnsafeRawPointer { value + valueByteCount }

    @inlinable
    func loadInt32() -> Int32 { Int32(littleEndian: value.loadUnaligned(as: Int32.self)) }

    @inlinable
    func loadInt64() -> Int64 { Int64(littleEndian: value.loadUnaligned(as: Int64.self)) }
}

// MARK: The key

extension BSONField {
    /// Whether the field has this name; compares bytes, makes no `String`.
    @inlinable
    public func keyIs(_ key: StaticString) -> Bool {
        keyIs(UnsafeRawBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount))
    }

    @inlinable
    func keyIs(_ key: UnsafeRawBufferPointer) -> Bool {
        guard nameByteCount == key.count else { return false }
        for index in 0..<key.count where key[index] != name.load(fromByteOffset: index, as: UInt8.self) { return false }
        return true
    }

    /// The field's name.
    public var key: String { String(decoding: UnsafeRawBufferPointer(start: name, count: nameByteCount), as: UTF8.self) }

    /// Calls `body` with the bytes of the field's name.
    @inlinable
    public func withKeyUTF8<T, E: Error>(_ body: (UnsafeBufferPointer<UInt8>) throws(E) -> T) throws(E) -> T {
        try body(UnsafeBufferPointer(start: name.assumingMemoryBound(to: UInt8.self), count: nameByteCount))
    }
}

// MARK: The value

extension BSONField {
    /// Whether the field holds null.
    @inlinable
    public var isNull: Bool { kind == .null }

    /// Any number that is integral and fits.
    @inlinable
    public var int64OrNil: Int64? {
        switch kind {
        case .int64: loadInt64()
        case .int32: Int64(loadInt32())
        case .double: Int64(exactly: Double(bitPattern: UInt64(bitPattern: loadInt64())))
        default: nil
        }
    }

    /// Any number.
    @inlinable
    public var doubleOrNil: Double? {
        switch kind {
        case .double: Double(bitPattern: UInt64(bitPattern: loadInt64()))
        case .int64: Double(loadInt64())
        case .int32: Double(loadInt32())
        default: nil
        }
    }

    @inlinable
    public var bool: Bool? { kind == .bool ? value.load(as: UInt8.self) != 0 : nil }

    /// A date, in milliseconds since 1970 in UTC.
    @inlinable
    public var dateMilliseconds: Int64? { kind == .date ? loadInt64() : nil }

    /// A UUID: binary of subtype 4, its first byte the most significant.
    @inlinable
    public var uuid: UInt128? {
        guard kind == .binary, valueByteCount == 21, value.load(fromByteOffset: 4, as: UInt8.self) == 4 else { return nil }
        let high = UInt64(bigEndian: value.loadUnaligned(fromByteOffset: 5, as: UInt64.self))
        let low = UInt64(bigEndian: value.loadUnaligned(fromByteOffset: 13, as: UInt64.self))
        return UInt128(high) << 64 | UInt128(low)
    }

    /// A string's text.
    public var string: String? { withUTF8 { String(decoding: $0, as: UTF8.self) } }

    /// Calls `body` with a string's bytes, valid UTF-8, which may hold NUL.
    @inlinable
    public func withUTF8<T, E: Error>(_ body: (UnsafeBufferPointer<UInt8>) throws(E) -> T) throws(E) -> T? {
        guard kind == .string else { return nil }
        let text = (value + 4).assumingMemoryBound(to: UInt8.self)
        return try body(UnsafeBufferPointer(start: text, count: valueByteCount - 5))
    }

    /// Calls `body` with a binary's subtype and bytes.
    @inlinable
    public func withBinary<T, E: Error>(_ body: (UInt8, UnsafeRawBufferPointer) throws(E) -> T) throws(E) -> T? {
        guard kind == .binary else { return nil }
        let subtype = value.load(fromByteOffset: 4, as: UInt8.self)
        return try body(subtype, UnsafeRawBufferPointer(start: value + 5, count: valueByteCount - 5))
    }

    /// Calls `body` with a nested document or array.
    @inlinable
    public func withDocument<T, E: Error>(_ body: (borrowing BSONView) throws(E) -> T) throws(E) -> T? {
        guard kind == .document || kind == .array else { return nil }
        return try body(BSONView(checked: value, byteCount: valueByteCount))
    }

    /// The value as one that can be put into another document; nil for the kinds ``BSONValue`` has no case for.
    public var valueOrNil: BSONValue? {
        switch kind {
        case .null: .null
        case .bool: bool.map(BSONValue.bool)
        case .int32: .int32(loadInt32())
        case .int64: .int64(loadInt64())
        case .double: doubleOrNil.map(BSONValue.double)
        case .string: string.map(BSONValue.string)
        case .date: .date(milliseconds: loadInt64())
        case .binary:
            uuid.map(BSONValue.uuid) ?? withBinary { subtype, bytes in
                subtype == BSONBinarySubtype.generic ? .binary([UInt8](bytes)) : nil
            } ?? nil
        case .document: withDocument { .raw($0.copy()) }
        case .array: arrayOrNil.map(BSONValue.array)
        default: nil
        }
    }

    private var arrayOrNil: [BSONValue]? {
        withDocument { array in
            var values: [BSONValue] = []
            var isComplete = true
            array.forEach { field in
                if let value = field.valueOrNil { values.append(value) } else { isComplete = false }
            }
            return isComplete ? values : nil
        } ?? nil
    }
}
