extension JSONValue {
    /// Reads one JSON text, whole and strictly. Throws where it is none, or where two readers could take it for two things.
    public init(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        var parser = JSONParser(bytes)
        self = try parser.parse()
    }

    public init(_ bytes: [UInt8]) throws(JSONError) {
        self = try bytes.withUnsafeBufferPointer { bytes throws(JSONError) in try JSONValue(bytes) }
    }
}

/// Reads one JSON text (RFC 8259) over bytes that somebody else sent. Strict where readers are known to differ: no member twice, no
/// byte order mark, no half of a surrogate pair, nothing behind the value. Bounded in depth; whoever calls bounds the bytes.
struct JSONParser {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var index = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func parse() throws(JSONError) -> JSONValue {
        skipBlanks()
        let value = try value(depth: 0)
        skipBlanks()
        guard index == bytes.count else { throw error(.trailingBytes) }
        return value
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        switch peek {
        case UInt8(ascii: "{"): return .object(try object(depth: depth + 1))
        case UInt8(ascii: "["): return .array(try array(depth: depth + 1))
        case UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return .number(try number())
        }
    }

    // MARK: Objects and arrays

    private mutating func object(depth: Int) throws(JSONError) -> [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        guard try enter(depth, closing: UInt8(ascii: "}")) else { return members }
        repeat {
            skipBlanks()
            let start = index
            let name = try string()
            skipBlanks()
            try expect(UInt8(ascii: ":"))
            skipBlanks()
            let value = try value(depth: depth)
            guard members.updateValue(value, forKey: name) == nil else { throw JSONError(reason: .duplicateMember, offset: start) }
        } while try another(before: UInt8(ascii: "}"))
        return members
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
        var items: [JSONValue] = []
        guard try enter(depth, closing: UInt8(ascii: "]")) else { return items }
        repeat {
            skipBlanks()
            items.append(try value(depth: depth))
        } while try another(before: UInt8(ascii: "]"))
        return items
    }

    /// Passes the opening bracket; false where the closing one follows, which is passed too.
    private mutating func enter(_ depth: Int, closing: UInt8) throws(JSONError) -> Bool {
        guard depth <= JSONValue.mostDepth else { throw error(.tooDeep) }
        index += 1
        skipBlanks()
        guard peek == closing else { return true }
        index += 1
        return false
    }

    /// Passes a comma, or the closing bracket: then there is nothing more.
    private mutating func another(before closing: UInt8) throws(JSONError) -> Bool {
        skipBlanks()
        if peek == UInt8(ascii: ",") {
            index += 1
            return true
        }
        try expect(closing)
        return false
    }

    // MARK: Strings

    private mutating func string() throws(JSONError) -> String {
        try expect(UInt8(ascii: "\""))
        let start = index
        while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { index += 1 }
        if peek == UInt8(ascii: "\"") {
            index += 1
            return try text(bytes[start..<index - 1], from: start)
        }
        var decoded = Array(bytes[start..<index])
        while true {
            guard let byte = peek else { throw error(.cutOff) }
            guard byte >= 0x20 else { throw error(byte == 0 ? .containsNUL : .unexpectedByte) }
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(decoded[...], from: start)
            case UInt8(ascii: "\\"): try escape(into: &decoded)
            default: decoded.append(byte)
            }
        }
    }

    private func text(_ utf8: some Sequence<UInt8>, from start: Int) throws(JSONError) -> String {
        guard let text = String(validating: utf8, as: UTF8.self) else { throw JSONError(reason: .notUnicode, offset: start) }
        return text
    }

    /// What follows a backslash.
    private mutating func escape(into decoded: inout [UInt8]) throws(JSONError) {
        guard let byte = peek else { throw error(.cutOff) }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(byte)
        case UInt8(ascii: "b"): decoded.append(0x08)
        case UInt8(ascii: "f"): decoded.append(0x0C)
        case UInt8(ascii: "n"): decoded.append(0x0A)
        case UInt8(ascii: "r"): decoded.append(0x0D)
        case UInt8(ascii: "t"): decoded.append(0x09)
        case UInt8(ascii: "u"):
            index += 1
            return decoded.append(contentsOf: Array(String(Character(try scalar())).utf8))
        default: throw error(.unexpectedByte)
        }
        index += 1
    }

    /// The scalar of `\u0041`, or of a pair of surrogates.
    private mutating func scalar() throws(JSONError) -> Unicode.Scalar {
        let start = index
        let high = try fourDigits()
        guard high != 0 else { throw JSONError(reason: .containsNUL, offset: start) }
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard high < 0xDC00, peek == UInt8(ascii: "\\") else { throw JSONError(reason: .notUnicode, offset: start) }
        index += 1
        guard peek == UInt8(ascii: "u") else { throw JSONError(reason: .notUnicode, offset: start) }
        index += 1
        let low = try fourDigits()
        guard (0xDC00...0xDFFF).contains(low), let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)) else {
            throw JSONError(reason: .notUnicode, offset: start)
        }
        return scalar
    }

    private mutating func fourDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek else { throw error(.cutOff) }
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw error(.unexpectedByte)
            }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }

    // MARK: Numbers and words

    private mutating func number() throws(JSONError) -> String {
        let start = index
        if peek == UInt8(ascii: "-") { index += 1 }
        if peek == UInt8(ascii: "0") { index += 1 } else { try digits() }
        if peek == UInt8(ascii: ".") {
            index += 1
            try digits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            index += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { index += 1 }
            try digits()
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// At least one.
    private mutating func digits() throws(JSONError) {
        let start = index
        while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { index += 1 }
        guard index > start else { throw error(.unexpectedByte) }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        for offset in 0..<word.utf8CodeUnitCount { try expect(word.utf8Start[offset]) }
        return value
    }

    // MARK: Bytes

    private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func expect(_ byte: UInt8) throws(JSONError) {
        guard peek == byte else { throw error(.unexpectedByte) }
        index += 1
    }

    private mutating func skipBlanks() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    /// Where the bytes have ended, that is what is wrong.
    private func error(_ reason: JSONError.Reason) -> JSONError {
        JSONError(reason: reason == .unexpectedByte && index == bytes.count ? .cutOff : reason, offset: index)
    }
}
