/// The one place that decides whether bytes are a BSON document.
///
/// Everything that reads BSON here leans on this check having passed: lengths stay inside the document, keys end,
/// strings are UTF-8. So a walk needs no error of its own, and a bad document is refused whole instead of being read in part.
enum BSONCheck {
    /// Past this nesting a document is refused; the server itself stops at 100.
    static let maximumDepth = 128

    /// Whether `bytes` are exactly one well-formed document.
    static func accepts(_ bytes: UnsafeRawBufferPointer) -> Bool {
        documentSize(bytes, depth: 0) == bytes.count
    }

    /// The size of the document `bytes` begin with; nil when it is malformed.
    private static func documentSize(_ bytes: UnsafeRawBufferPointer, depth: Int) -> Int? {
        guard depth < maximumDepth, let size = length(bytes, at: 0), size >= 5, size <= bytes.count, bytes[size - 1] == 0 else {
            return nil
        }
        let last = size - 1
        var position = 4
        while position < last {
            guard let kind = BSONKind(rawValue: bytes[position]),
                let keyEnd = end(ofKey: bytes, from: position + 1, before: last),
                let value = valueSize(kind, UnsafeRawBufferPointer(rebasing: bytes[(keyEnd + 1)..<last]), depth: depth)
            else { return nil }
            position = keyEnd + 1 + value
        }
        return position == last ? size : nil
    }

    private static func valueSize(_ kind: BSONKind, _ rest: UnsafeRawBufferPointer, depth: Int) -> Int? {
        if let fixed = kind.fixedByteCount {
            if kind == .bool, let byte = rest.first, byte > 1 { return nil }
            return fixed <= rest.count ? fixed : nil
        }
        switch kind {
        case .document, .array:
            return documentSize(rest, depth: depth + 1)
        case .string, .code, .symbol:
            return stringSize(rest)
        case .binary:
            guard let count = length(rest, at: 0), count <= rest.count - 5 else { return nil }
            return 5 + count
        case .regularExpression:
            guard let pattern = end(ofKey: rest, from: 0, before: rest.count),
                let options = end(ofKey: rest, from: pattern + 1, before: rest.count)
            else { return nil }
            return options + 1
        case .databasePointer:
            guard let name = stringSize(rest), name + 12 <= rest.count else { return nil }
            return name + 12
        case .codeWithScope:
            guard let size = length(rest, at: 0), size <= rest.count, size >= 14,
                let code = stringSize(UnsafeRawBufferPointer(rebasing: rest[4..<size])),
                let scope = documentSize(UnsafeRawBufferPointer(rebasing: rest[(4 + code)..<size]), depth: depth + 1),
                4 + code + scope == size
            else { return nil }
            return size
        default:
            return nil
        }
    }

    /// A length, the text, and a NUL that the length counts.
    private static func stringSize(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let count = length(bytes, at: 0), count >= 1, count <= bytes.count - 4, bytes[3 + count] == 0,
            isUTF8(UnsafeRawBufferPointer(rebasing: bytes[4..<(3 + count)]))
        else { return nil }
        return 4 + count
    }

    private static func length(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int? {
        guard bytes.count >= offset + 4 else { return nil }
        let value = Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
        return value >= 0 ? value : nil
    }

    /// Where the NUL stands that ends the key begun at `start`; nil when there is none or the key is not UTF-8.
    private static func end(ofKey bytes: UnsafeRawBufferPointer, from start: Int, before limit: Int) -> Int? {
        var position = start
        var seen: UInt8 = 0
        while position < limit {
            let byte = bytes[position]
            if byte == 0 {
                let isFine = seen < 0x80 || isUTF8(UnsafeRawBufferPointer(rebasing: bytes[start..<position]))
                return isFine ? position : nil
            }
            seen |= byte
            position += 1
        }
        return nil
    }

    /// Most text is ASCII, which is told eight bytes at a time; the rest is judged by the standard library.
    private static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var position = 0
        while position + 8 <= bytes.count {
            let chunk = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            if chunk & 0x8080_8080_8080_8080 != 0 { return isUnicode(bytes) }
            position += 8
        }
        while position < bytes.count {
            if bytes[position] >= 0x80 { return isUnicode(bytes) }
            position += 1
        }
        return true
    }

    private static func isUnicode(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let text = bytes.assumingMemoryBound(to: UInt8.self)
        return (try? UTF8Span(validating: text.span)) != nil
    }
}
