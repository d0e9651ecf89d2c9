import CMongoC

/// Owns a `bson_t` of the driver's, made from a document of ours, and frees it once.
///
/// `bson_t` is over-aligned in the system's build, so it never lives on Swift's stack: the driver allocates it.
struct BSONHandle: ~Copyable {
    private let raw: OpaquePointer

    /// - Throws: `.encoding` when the document cannot be sent.
    init(copying document: BSONDocument) throws(MongoError) {
        guard document.isWellFormed, let raw = bson_new_from_data(document.bytes, document.bytes.count) else {
            throw MongoError(.encoding, detail: "a key contains NUL, or the document is too large")
        }
        self.raw = raw
    }

    deinit { bson_destroy(raw) }

    /// Lends the pointer, which must not be kept.
    borrowing func withPointer<T, E: Error>(_ body: (OpaquePointer) throws(E) -> T) throws(E) -> T {
        try body(raw)
    }
}

/// Room for a `bson_t` that the driver fills in with a reply; freed once, whatever the driver did.
struct BSONReply: ~Copyable {
    private let storage: UnsafeMutableRawPointer
    private let raw: OpaquePointer

    init() {
        // libbson asserts these two numbers at its own compile time.
        storage = .allocate(byteCount: 128, alignment: 128)
        raw = OpaquePointer(storage)
        bson_init(raw)
    }

    deinit {
        bson_destroy(raw)
        storage.deallocate()
    }

    /// Lends the pointer, which must not be kept.
    borrowing func withPointer<T, E: Error>(_ body: (OpaquePointer) throws(E) -> T) throws(E) -> T {
        try body(raw)
    }

    /// Lends a view of the reply.
    /// - Throws: `.decoding` when the reply is no well-formed document.
    borrowing func withView<T>(_ body: (borrowing BSONView) throws -> T) throws(MongoError) -> T {
        try BSONView.withView(of: raw, body)
    }
}

extension BSONView {
    /// Checks the driver's document and lends a view of it. What `body` throws comes out as a `MongoError`.
    static func withView<T>(of document: OpaquePointer, _ body: (borrowing BSONView) throws -> T) throws(MongoError) -> T {
        guard let start = bson_get_data(document).map(UnsafeRawPointer.init) else { throw MongoError(.decoding, detail: "no document") }
        let byteCount = Int(Int32(littleEndian: start.loadUnaligned(as: Int32.self)))
        guard byteCount >= 5, BSONCheck.accepts(UnsafeRawBufferPointer(start: start, count: byteCount)) else {
            throw MongoError(.decoding, detail: "the server's document is malformed or holds invalid UTF-8")
        }
        do {
            return try body(BSONView(checked: start, byteCount: byteCount))
        } catch {
            throw MongoError(wrapping: error)
        }
    }
}
