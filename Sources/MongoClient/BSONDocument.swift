/// A document to send: fields in the order they were given, encoded as they are added.
///
/// For example:
///
///     let filter: BSONDocument = ["_id": .uuid(id), "v": ["$lt": .int64(version)]]
///
/// A key cannot hold NUL. One that does spoils the document, which every operation then refuses with `.encoding`:
/// cutting the key short would let its writer name another field.
public struct BSONDocument: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    /// The whole document as it travels, at all times.
    private(set) var bytes: [UInt8] = [5, 0, 0, 0, 0]

    /// How many fields there are.
    public private(set) var count = 0

    /// Whether every key, nested ones too, can be written.
    private(set) var isWellFormed = true

    public init() {}

    public init(dictionaryLiteral elements: (String, BSONValue)...) {
        self.init(elements)
    }

    public init(_ elements: some Sequence<(String, BSONValue)>) {
        for (key, value) in elements { append(key, value) }
    }

    /// A document that was read, to be changed and sent back.
    public init(copying document: BSONBytes) {
        bytes = document.bytes
        count = document.withView { view in
            var count = 0
            view.forEach { _ in count += 1 }
            return count
        }
    }

    public var isEmpty: Bool { count == 0 }

    /// The document as immutable bytes, for instance to read it back.
    public var asBytes: BSONBytes { BSONBytes(checked: bytes) }

    /// Adds a field at the end. A key that is there already is added again: use the subscript to replace.
    public mutating func append(_ key: String, _ value: BSONValue) {
        bytes.removeLast()
        if !BSONWriter.append(key, value, to: &bytes) { isWellFormed = false }
        BSONWriter.endDocument(from: 0, in: &bytes)
        count += 1
    }

    /// Adds the fields of another document at the end.
    public mutating func append(contentsOf other: BSONDocument) {
        bytes.removeLast()
        bytes.append(contentsOf: other.bytes.dropFirst(4).dropLast())
        if !other.isWellFormed { isWellFormed = false }
        BSONWriter.endDocument(from: 0, in: &bytes)
        count += other.count
    }

    /// The field of this name, the first if there are several. Setting keeps its place, or adds it at the end; nil removes it.
    ///
    /// Reading answers nil for kinds that ``BSONValue`` has no case for.
    public subscript(key: String) -> BSONValue? {
        get {
            asBytes.withView { view in
                var key = key
                return key.withUTF8 { name in view.withField(named: UnsafeRawBufferPointer(name)) { $0.valueOrNil } } ?? nil
            }
        }
        set {
            guard let range = range(of: key) else {
                if let newValue { append(key, newValue) }
                return
            }
            var field: [UInt8] = []
            if let newValue {
                if !BSONWriter.append(key, newValue, to: &field) { isWellFormed = false }
            } else {
                count -= 1
            }
            bytes.replaceSubrange(range, with: field)
            BSONWriter.storeLength(from: 0, in: &bytes)
        }
    }

    private func range(of key: String) -> Range<Int>? {
        asBytes.withView { view in
            var key = key
            return key.withUTF8 { name in
                view.withField(named: UnsafeRawBufferPointer(name)) { field in
                    (field.name - view.start - 1)..<(field.end - view.start)
                }
            }
        }
    }
}

extension BSONView {
    /// The field of exactly this name: dots mean nothing.
    borrowing func withField<T>(named name: UnsafeRawBufferPointer, _ body: (borrowing BSONField) -> T) -> T? {
        var cursor = start + 4
        while let field = BSONField(at: cursor) {
            if field.keyIs(name) { return body(field) }
            cursor = field.end
        }
        return nil
    }
}
