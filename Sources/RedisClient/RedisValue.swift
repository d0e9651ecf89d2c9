/// A reply of the server.
public enum RedisValue: Sendable, Hashable {
    /// What is not there: a key, a field, an element.
    case null
    case string([UInt8])
    /// A short word such as `OK`.
    case status(String)
    case integer(Int64)
    case array([RedisValue])
    /// An error in its place: in a pipeline, or within the reply of a transaction or a script.
    case error(String)
}

extension RedisValue {
    public var isNull: Bool { self == .null }

    /// The bytes of a string; nil for anything else.
    public var bytes: [UInt8]? {
        guard case .string(let bytes) = self else { return nil }
        return bytes
    }

    /// The text of a string or a status; nil for anything else, and for bytes that are not UTF-8.
    public var text: String? {
        switch self {
        case .string(let bytes): String(validating: bytes, as: UTF8.self)
        case .status(let status): status
        default: nil
        }
    }

    /// An integer, also one that came as a string, as counters read with GET do; nil for anything else.
    public var int64: Int64? {
        switch self {
        case .integer(let integer): integer
        case .string(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        default: nil
        }
    }

    /// The elements of an array; nil for anything else.
    public var elements: [RedisValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }
}
