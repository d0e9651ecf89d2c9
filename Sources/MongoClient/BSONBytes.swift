/// One whole document that may be kept and sent between tasks: a copy of what the driver lent, or bytes from elsewhere.
public struct BSONBytes: Sendable, Hashable {
    /// The document as it travels.
    public let bytes: [UInt8]

    /// Bytes that ``BSONCheck`` has accepted, or that were encoded here.
    init(checked bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Takes bytes from elsewhere.
    /// - Throws: `.decoding` when they are not exactly one well-formed document, its text UTF-8.
    public init(validating bytes: [UInt8]) throws(MongoError) {
        guard bytes.withUnsafeBytes(BSONCheck.accepts) else { throw MongoError(.decoding, detail: "not a BSON document") }
        self.bytes = bytes
    }

    /// Lends a view of the document.
    public func withView<T, E: Error>(_ body: (borrowing BSONView) throws(E) -> T) throws(E) -> T {
        try bytes.withUnsafeBufferPointer { (buffer) throws(E) -> T in
            // A document has at least five bytes, so there is an address.
            try body(BSONView(checked: buffer.baseAddress.unsafelyUnwrapped, byteCount: buffer.count))
        }
    }
}
