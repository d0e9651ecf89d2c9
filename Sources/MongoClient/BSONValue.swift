/// A value to put into a ``BSONDocument``. Literals make the obvious case: an integer is `int64`, `nil` is `null`.
public enum BSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case int32(Int32)
    case int64(Int64)
    case double(Double)
    case string(String)
    /// Milliseconds since 1970, UTC.
    case date(milliseconds: Int64)
    /// Binary of subtype 4, the most significant byte first.
    case uuid(UInt128)
    /// Binary of subtype 0.
    case binary([UInt8])
    case document(BSONDocument)
    case array([BSONValue])
    /// A document that came from the driver, nested as it is.
    case raw(BSONBytes)
}

extension BSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .int64(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: BSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, BSONValue)...) { self = .document(BSONDocument(elements)) }
}
