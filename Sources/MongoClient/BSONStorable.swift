extension BSONDocument {
    /// Holds a document whose keys or text a user supplied to the rules for stored content.
    ///
    /// Refused are keys that are empty, start with `$` or contain a dot (they would read as operators or paths one day),
    /// NUL in keys or text, nesting deeper than `maximumDepth`, and documents larger than `maximumBytes`.
    /// Filters and updates are never to be built from a user's keys at all.
    /// - Throws: `.encoding`.
    public func checkStorable(maximumDepth: Int = 32, maximumBytes: Int = 1 << 20) throws(MongoError) {
        guard isWellFormed else { throw MongoError(.encoding, detail: "a key contains NUL") }
        guard bytes.count <= maximumBytes else { throw MongoError(.encoding, detail: "larger than \(maximumBytes) bytes") }
        try asBytes.withView { (view) throws(MongoError) in try view.checkStorable(depthLeft: maximumDepth, isArray: false) }
    }
}

extension BSONView {
    fileprivate borrowing func checkStorable(depthLeft: Int, isArray: Bool) throws(MongoError) {
        guard depthLeft > 0 else { throw MongoError(.encoding, detail: "nested too deep") }
        try forEach { (field) throws(MongoError) in
            if !isArray {
                try field.withKeyUTF8 { (name) throws(MongoError) in
                    guard let first = name.first else { throw MongoError(.encoding, detail: "an empty key") }
                    guard first != UInt8(ascii: "$") else { throw MongoError(.encoding, detail: "a key that starts with $") }
                    guard !name.contains(UInt8(ascii: ".")) else { throw MongoError(.encoding, detail: "a key with a dot") }
                }
            }
            _ = try field.withUTF8 { (text) throws(MongoError) in
                guard !text.contains(0) else { throw MongoError(.encoding, detail: "NUL in a text") }
            }
            _ = try field.withDocument { (nested) throws(MongoError) in
                try nested.checkStorable(depthLeft: depthLeft - 1, isArray: field.kind == .array)
            }
        }
    }
}
