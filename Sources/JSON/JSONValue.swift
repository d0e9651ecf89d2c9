/// One JSON value as somebody sent it. A number is its own text, so that an amount of money is exact.
public enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// As RFC 8259 §6 writes it: `-0.10e+2`.
    case number(String)
    case text(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Objects and arrays within each other, at most, that are read.
    static let mostDepth = 16
}
