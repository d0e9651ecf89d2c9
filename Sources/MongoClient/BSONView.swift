/// A look at one document that somebody else owns: the driver's own bytes, or those of a ``BSONBytes``.
///
/// It is lent to a closure and valid in it alone; being non-copyable it cannot be kept. The bytes were checked before they
/// were lent (framing, UTF-8, nesting), so reading cannot fail half-way.
///
/// For example:
///
///     try session.find("beats", ["_id": ["$in": ids]]) { beat in
///         beat.forEach { field in
///             if field.keyIs("bpm"), let bpm = field.int64OrNil { … }
///         }
///     }
///
/// It walks the bytes itself instead of through `bson_iter_t`: that type is over-aligned in the system's build, so Swift
/// would have to keep one on the heap for every level of nesting, and make a C call for every field.
public struct BSONView: ~Copyable {
    @usableFromInline let start: UnsafeRawPointer

    /// The size of the whole document.
    public let byteCount: Int

    /// A view of bytes that ``BSONCheck`` has accepted.
    @usableFromInline
    init(checked start: UnsafeRawPointer, byteCount: Int) {
        self.start = start
        self.byteCount = byteCount
    }

    /// Calls `body` for every field, in the document's order.
    @inlinable
    public borrowing func forEach<E: Error>(_ body: (borrowing BSONField) throws(E) -> Void) throws(E) {
        var cursor = start + 4
        while let field = BSONField(at: cursor) {
            try body(field)
            cursor = field.end
        }
    }

    /// Calls `body` with the field at `path`, names joined by dots; returns nil when there is none.
    @inlinable
    public borrowing func withField<T, E: Error>(_ path: StaticString, _ body: (borrowing BSONField) throws(E) -> T) throws(E) -> T? {
        let name = UnsafeRawBufferPointer(start: path.utf8Start, count: path.utf8CodeUnitCount)
        return try withField(at: name, body)
    }

    @inlinable
    borrowing func withField<T, E: Error>(
        at path: UnsafeRawBufferPointer, _ body: (borrowing BSONField) throws(E) -> T
    ) throws(E) -> T? {
        var split = 0
        while split < path.count, path[split] != UInt8(ascii: ".") { split += 1 }
        let name = UnsafeRawBufferPointer(rebasing: path[..<split])
        var cursor = start + 4
        while let field = BSONField(at: cursor) {
            if field.keyIs(name) {
                if split == path.count { return try body(field) }
                guard field.kind == .document || field.kind == .array else { return nil }
                let rest = UnsafeRawBufferPointer(rebasing: path[(split + 1)...])
                return try BSONView(checked: field.value, byteCount: field.valueByteCount).withField(at: rest, body)
            }
            cursor = field.end
        }
        return nil
    }

    /// The document's bytes.
    @inlinable
    public borrowing func withUnsafeBytes<T, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> T) throws(E) -> T {
        try body(UnsafeRawBufferPointer(start: start, count: byteCount))
    }

    /// The document as a value that may be kept and sent.
    public borrowing func copy() -> BSONBytes {
        BSONBytes(checked: [UInt8](UnsafeRawBufferPointer(start: start, count: byteCount)))
    }

    /// Whether the document has no field.
    @inlinable
    public var isEmpty: Bool { byteCount == 5 }
}

// MARK: A few fields by name

extension BSONView {
    /// Any integral number at `path`; nil when there is none.
    @inlinable
    public borrowing func int64OrNil(_ path: StaticString) -> Int64? { withField(path) { $0.int64OrNil } ?? nil }

    /// Any number at `path`; nil when there is none.
    @inlinable
    public borrowing func doubleOrNil(_ path: StaticString) -> Double? { withField(path) { $0.doubleOrNil } ?? nil }

    /// The text at `path`; nil when there is none.
    @inlinable
    public borrowing func stringOrNil(_ path: StaticString) -> String? { withField(path) { $0.string } ?? nil }

    /// The truth value at `path`; nil when there is none.
    @inlinable
    public borrowing func boolOrNil(_ path: StaticString) -> Bool? { withField(path) { $0.bool } ?? nil }

    /// The date at `path` in milliseconds since 1970; nil when there is none.
    @inlinable
    public borrowing func dateMillisecondsOrNil(_ path: StaticString) -> Int64? {
        withField(path) { $0.dateMilliseconds } ?? nil
    }

    /// The UUID (binary subtype 4) at `path`; nil when there is none.
    @inlinable
    public borrowing func uuidOrNil(_ path: StaticString) -> UInt128? { withField(path) { $0.uuid } ?? nil }

    /// Any integral number at `path`.
    /// - Throws: `.decoding` when there is none.
    public borrowing func int64(_ path: StaticString) throws(MongoError) -> Int64 { try required(int64OrNil(path), path) }

    /// Any number at `path`.
    /// - Throws: `.decoding` when there is none.
    public borrowing func double(_ path: StaticString) throws(MongoError) -> Double { try required(doubleOrNil(path), path) }

    /// The text at `path`.
    /// - Throws: `.decoding` when there is none.
    public borrowing func string(_ path: StaticString) throws(MongoError) -> String { try required(stringOrNil(path), path) }

    /// The truth value at `path`.
    /// - Throws: `.decoding` when there is none.
    public borrowing func bool(_ path: StaticString) throws(MongoError) -> Bool { try required(boolOrNil(path), path) }

    /// The date at `path`, in milliseconds since 1970.
    /// - Throws: `.decoding` when there is none.
    public borrowing func dateMilliseconds(_ path: StaticString) throws(MongoError) -> Int64 {
        try required(dateMillisecondsOrNil(path), path)
    }

    /// The UUID (binary subtype 4) at `path`.
    /// - Throws: `.decoding` when there is none.
    public borrowing func uuid(_ path: StaticString) throws(MongoError) -> UInt128 { try required(uuidOrNil(path), path) }

    private borrowing func required<T>(_ value: T?, _ path: StaticString) throws(MongoError) -> T {
        guard let value else { throw MongoError(.decoding, detail: "no usable value at \(path)") }
        return value
    }
}
