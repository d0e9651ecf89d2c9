/// One argument of a command. Binary-safe.
public enum RedisArgument: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    case text(String)
    case bytes([UInt8])
    case integer(Int64)
    case double(Double)

    public init(stringLiteral value: String) { self = .text(value) }

    public init(integerLiteral value: Int64) { self = .integer(value) }
}

/// A command as the bytes that are sent.
///
/// Commands of many callers share a connection, so these do not belong here: those that block (`BLPOP`, `WAIT`), those that change the
/// connection (`SELECT`, `SUBSCRIBE`, `MONITOR`, `CLIENT REPLY`, `HELLO`, `WATCH`), and `MULTI` without its `EXEC` in the same pipeline.
public struct RedisCommand: Sendable {
    let bytes: [UInt8]

    public init(_ name: String, _ arguments: RedisArgument...) { self.init(name, arguments) }

    public init(_ name: String, _ arguments: [RedisArgument]) {
        bytes = Self.encode(count: arguments.count + 1, size: arguments.reduce(CommandWriter.bound(name)) { $0 + $1.bound }) { writer in
            writer.put(name)
            for argument in arguments { argument.put(into: &writer) }
        }
    }

    /// A command whose name is the first part. Without any part the server is asked for a command without a name, and says so.
    public init(_ parts: [RedisArgument]) {
        let parts = parts.isEmpty ? [""] : parts
        bytes = Self.encode(count: parts.count, size: parts.reduce(0) { $0 + $1.bound }) { writer in
            for part in parts { part.put(into: &writer) }
        }
    }

    private static func encode(count: Int, size: Int, _ body: (inout CommandWriter) -> Void) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: CommandWriter.headerBound + size) { buffer, initialized in
            var writer = CommandWriter(buffer)
            writer.header("*", count)
            body(&writer)
            initialized = writer.count
        }
    }
}

extension RedisArgument {
    /// At least as many bytes as `put` writes.
    fileprivate var bound: Int {
        switch self {
        case .text(let text): CommandWriter.bound(text)
        case .bytes(let bytes): CommandWriter.headerBound + bytes.count + 2
        case .integer, .double: CommandWriter.headerBound + 34
        }
    }

    fileprivate func put(into writer: inout CommandWriter) {
        switch self {
        case .text(let text): writer.put(text)
        case .bytes(let bytes): bytes.withUnsafeBufferPointer { writer.put($0) }
        case .integer(let integer): writer.put(String(integer))
        case .double(let double): writer.put(double.description)
        }
    }
}

/// Writes the parts of a command into a buffer that is large enough for all of them.
private struct CommandWriter {
    /// A mark, up to nineteen digits, a line end.
    static let headerBound = 22

    static func bound(_ text: String) -> Int { headerBound + text.utf8.count + 2 }

    private let buffer: UnsafeMutableBufferPointer<UInt8>
    private(set) var count = 0

    init(_ buffer: UnsafeMutableBufferPointer<UInt8>) { self.buffer = buffer }

    mutating func header(_ mark: Unicode.Scalar, _ number: Int) {
        append(UInt8(ascii: mark))
        var scale = 1
        while number / scale >= 10 { scale *= 10 }
        while scale > 0 {
            append(UInt8(ascii: "0") + UInt8(number / scale % 10))
            scale /= 10
        }
        endLine()
    }

    mutating func put(_ text: String) {
        var text = text
        text.withUTF8 { put($0) }
    }

    mutating func put(_ bytes: UnsafeBufferPointer<UInt8>) {
        header("$", bytes.count)
        let end = UnsafeMutableBufferPointer(rebasing: buffer[count...]).update(fromContentsOf: bytes)
        count += end
        endLine()
    }

    private mutating func endLine() {
        append(UInt8(ascii: "\r"))
        append(UInt8(ascii: "\n"))
    }

    private mutating func append(_ byte: UInt8) {
        buffer[count] = byte
        count += 1
    }
}
