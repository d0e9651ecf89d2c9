/// Why bytes are no JSON text that is read here. Holds none of them.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong.
    public enum Reason: Sendable {
        /// A byte that cannot stand where it does.
        case unexpectedByte
        /// The text ends before its value does.
        case cutOff
        /// Something follows the value.
        case trailingBytes
        /// Objects and arrays within each other, more than `JSONValue.mostDepth`.
        case tooDeep
        /// An object names a member twice.
        case duplicateMember
        /// A string that is no UTF-8, or half of a surrogate pair.
        case notUnicode
        /// U+0000 in a string, which no store takes.
        case containsNUL
    }

    public let reason: Reason
    /// The byte, from 0, at which it was noticed.
    public let offset: Int

    public var description: String {
        let words =
            switch reason {
            case .unexpectedByte: "is no JSON"
            case .cutOff: "is cut off"
            case .trailingBytes: "has something behind its value"
            case .tooDeep: "is nested more than \(JSONValue.mostDepth) deep"
            case .duplicateMember: "names a member twice"
            case .notUnicode: "holds a string that is no UTF-8"
            case .containsNUL: "holds a string with a NUL"
            }
        return "\(words), at byte \(offset)"
    }
}
