import Contract
import JSON
import NIOCore

/// The members of a JSON body, each known; what is wrong with them is gathered, and `check` throws all of it together.
///
/// A member that is absent is nil. One that is `null` is a complaint unless the caller asks for `isNull` first: where it means
/// something, it means that the value is taken away.
public struct BodyInput: Sendable {
    private(set) var members: [String: JSONValue]
    private var problems: [Problem.Field] = []
    /// `metadata.` for the members of the member `metadata`.
    let prefix: String

    /// Complaints at most; a body that is wrong all over need not be answered with a list as long.
    private static let mostComplaints = 50

    /// Throws `invalidBody` where the body is no JSON object, `invalid` where it has members that are not in `allowed`. No body at all
    /// is an empty object.
    init(_ body: ByteBuffer, allowed: [String]) throws(Problem) {
        let value: JSONValue
        do throws(JSONError) {
            value = try body.readableBytes == 0 ? .object([:]) : Self.parse(body)
        } catch {
            throw Problem(.invalidBody, "The body \(error).")
        }
        guard case .object(let members) = value else { throw Problem(.invalidBody, "The body is no JSON object.") }
        self.init(members, prefix: "", allowed: allowed)
        try check()
    }

    init(_ members: [String: JSONValue], prefix: String, allowed: [String]) {
        self.members = members
        self.prefix = prefix
        for name in members.keys.sorted() where !allowed.contains(name) {
            complain(Self.shown(name), "is not one of: \(allowed.isEmpty ? "none" : allowed.joined(separator: ", "))")
        }
    }

    private static func parse(_ body: ByteBuffer) throws(JSONError) -> JSONValue {
        let result = body.withUnsafeReadableBytes { bytes in
            bytes.withMemoryRebound(to: UInt8.self) { bytes in Result { () throws(JSONError) in try JSONValue(bytes) } }
        }
        return try result.get()
    }

    private static func shown(_ name: String) -> String {
        String(String.UnicodeScalarView(name.unicodeScalars.prefix(64).filter { !isControl($0) }))
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) }

    // MARK: Complaints

    /// Adds a complaint about the member `name`; `check` throws all of them together. Of one member the first complaint counts: others
    /// would only follow from it.
    public mutating func complain(_ name: String, _ detail: String) {
        let name = prefix + name
        if problems.count < Self.mostComplaints, !problems.contains(where: { $0.name == name }) { problems.append(.init(name, detail)) }
    }

    /// Throws `invalid` when any member so far was found wrong.
    public func check() throws(Problem) {
        if !problems.isEmpty { throw .invalid(problems) }
    }

    /// Takes over the complaints of a part that `object` gave.
    public mutating func absorb(_ part: BodyInput) {
        problems.append(contentsOf: part.problems.prefix(Self.mostComplaints - min(problems.count, Self.mostComplaints)))
    }

    // MARK: Members

    /// Whether the member is there, `null` or not.
    public func has(_ name: String) -> Bool { members[name] != nil }

    /// Whether the member is there, and `null`.
    public func isNull(_ name: String) -> Bool { members[name] == .null }

    /// A text of so many characters (Unicode scalars), without control characters; line ends and tabs only where `lines` says so. Never
    /// trimmed. Nil when absent or complained about.
    public mutating func text(_ name: String, _ length: ClosedRange<Int>, lines: Bool = false) -> String? {
        guard let value = members[name] else { return nil }
        guard case .text(let text) = value else {
            complain(name, "must be a text")
            return nil
        }
        if let complaint = Self.complaint(text, length, lines: lines) {
            complain(name, complaint)
            return nil
        }
        return text
    }

    /// As `text`, and complained about when absent; then it is empty.
    public mutating func requiredText(_ name: String, _ length: ClosedRange<Int>, lines: Bool = false) -> String {
        if !has(name) { complain(name, "is missing") }
        return text(name, length, lines: lines) ?? ""
    }

    static func complaint(_ text: String, _ length: ClosedRange<Int>, lines: Bool) -> String? {
        if !length.contains(text.unicodeScalars.count) {
            return length.lowerBound == length.upperBound
                ? "must have \(length.lowerBound) characters" : "must have \(length.lowerBound) to \(length.upperBound) characters"
        }
        let isPlain = text.unicodeScalars.allSatisfy { scalar in
            !isControl(scalar) || lines && (scalar == "\n" || scalar == "\r" || scalar == "\t")
        }
        return isPlain ? nil : "must hold no control character"
    }

    /// `true` or `false`; nil when absent or complained about.
    public mutating func bool(_ name: String) -> Bool? {
        guard let value = members[name] else { return nil }
        guard case .bool(let bool) = value else {
            complain(name, "must be true or false")
            return nil
        }
        return bool
    }

    /// A whole number within `range`, written without a point or an exponent; nil when absent or complained about.
    public mutating func integer(_ name: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = members[name] else { return nil }
        guard case .number(let digits) = value, let number = Int(digits), range.contains(number) else {
            complain(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    /// The digits of a number as they were sent, for amounts of money; nil when absent or complained about.
    public mutating func decimal(_ name: String) -> String? {
        guard let value = members[name] else { return nil }
        guard case .number(let digits) = value else {
            complain(name, "must be a number")
            return nil
        }
        return digits
    }

    /// A list of so many texts, each of so many characters; nil when absent or complained about.
    public mutating func texts(_ name: String, count: ClosedRange<Int>, characters: ClosedRange<Int>) -> [String]? {
        guard let value = members[name] else { return nil }
        guard case .array(let items) = value, count.contains(items.count) else {
            complain(name, "must be a list of \(count.lowerBound) to \(count.upperBound) texts")
            return nil
        }
        var texts: [String] = []
        for (index, item) in items.enumerated() {
            guard case .text(let text) = item else {
                complain("\(name)[\(index)]", "must be a text")
                return nil
            }
            if let complaint = Self.complaint(text, characters, lines: false) {
                complain("\(name)[\(index)]", complaint)
                return nil
            }
            texts.append(text)
        }
        return texts
    }

    /// The members of a member, whose complaints are named `name.member`; hand them back with `absorb`. Nil when absent or complained
    /// about.
    public mutating func object(_ name: String, allowed: [String]) -> BodyInput? {
        guard let value = members[name] else { return nil }
        guard case .object(let members) = value else {
            complain(name, "must be an object")
            return nil
        }
        return BodyInput(members, prefix: "\(prefix)\(name).", allowed: allowed)
    }
}
