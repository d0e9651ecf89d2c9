import Contract
import JSON

/// Kinds of members that more than one feature reads.
extension BodyInput {
    /// A part whose members are all `null`: what a member stands for that is taken away.
    public static func cleared(_ members: [String], of name: String) -> BodyInput {
        BodyInput(
            Dictionary(members.map { ($0, JSONValue.null) }) { first, _ in first }, prefix: "\(name).", allowed: members)
    }

    /// A member that may be kept (absent), cleared (`null`) or set.
    public mutating func change<Value: Sendable & Equatable>(
        _ name: String, _ read: (inout BodyInput) -> Value?
    ) -> Change<Value> {
        if !has(name) { return .keep }
        if isNull(name) { return .clear }
        return read(&self).map { .set($0) } ?? .keep
    }

    /// A text for people to read, in Unicode's composed form and without the white space around it; nil when absent or complained about.
    public mutating func visibleText(_ name: String, longest: Int, lines: Bool = false) -> String? {
        text(name, 1...longest, lines: lines).flatMap { visible($0, name, longest, lines: lines) }
    }

    /// As `visibleText`, and complained about when absent; then it is empty.
    public mutating func requiredVisibleText(_ name: String, longest: Int) -> String {
        if !has(name) { complain(name, "is missing") }
        return visibleText(name, longest: longest) ?? ""
    }

    /// A list of so many texts for people to read, each as `visibleText` has it; nil when absent or complained about.
    public mutating func visibleTexts(_ name: String, count: ClosedRange<Int>, longest: Int) -> [String]? {
        guard let texts = texts(name, count: count, characters: 1...longest) else { return nil }
        var visible: [String] = []
        for (index, text) in texts.enumerated() {
            guard let text = self.visible(text, "\(name)[\(index)]", longest, lines: false) else { return nil }
            visible.append(text)
        }
        return visible
    }

    private mutating func visible(_ text: String, _ name: String, _ longest: Int, lines: Bool) -> String? {
        let text = text.composed.trimmed
        // A few characters are longer in the composed form.
        let complaint = text.flaw(lines: lines) ?? Self.complaint(text, 1...longest, lines: lines)
        if let complaint { complain(name, complaint) }
        return complaint == nil ? text : nil
    }

    /// The address of a page or picture that any browser may be sent to.
    public mutating func webAddress(_ name: String, longest: Int = 2048) -> String? {
        guard let text = text(name, 1...longest) else { return nil }
        if !WebAddress.isPublic(text) {
            complain(name, "must be an https address such as https://example.org/picture.jpg")
            return nil
        }
        return text
    }

    /// A number that need not be exact, within `range`; nil when absent or complained about.
    public mutating func number(_ name: String, in range: ClosedRange<Double>) -> Double? {
        guard let digits = decimal(name) else { return nil }
        guard let number = Double(digits), range.contains(number) else {
            complain(name, "must be a number from \(range.lowerBound.formatted) to \(range.upperBound.formatted)")
            return nil
        }
        return number
    }

    /// A list of so many whole numbers within `range`; nil when absent or complained about.
    public mutating func integers(_ name: String, count: ClosedRange<Int>, in range: ClosedRange<Int>) -> [Int]? {
        guard let value = members[name] else { return nil }
        guard case .array(let items) = value, count.contains(items.count) else {
            complain(name, "must be a list of \(count.lowerBound) to \(count.upperBound) whole numbers")
            return nil
        }
        var integers: [Int] = []
        integers.reserveCapacity(items.count)
        for (index, item) in items.enumerated() {
            guard case .number(let digits) = item, let integer = Int(digits), range.contains(integer) else {
                complain("\(name)[\(index)]", "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
                return nil
            }
            integers.append(integer)
        }
        return integers
    }

    /// A list of so many objects, whose complaints are named `name[index].member`; hand each back with `absorb`. Nil when absent or
    /// complained about.
    public mutating func objects(_ name: String, count: ClosedRange<Int>, allowed: [String]) -> [BodyInput]? {
        guard let value = members[name] else { return nil }
        guard case .array(let items) = value, count.contains(items.count) else {
            complain(name, "must be a list of \(count.lowerBound) to \(count.upperBound) objects")
            return nil
        }
        var objects: [BodyInput] = []
        for (index, item) in items.enumerated() {
            guard case .object(let members) = item else {
                complain("\(name)[\(index)]", "must be an object")
                return nil
            }
            objects.append(BodyInput(members, prefix: "\(prefix)\(name)[\(index)].", allowed: allowed))
        }
        return objects
    }
}

extension Double {
    fileprivate var formatted: String { self == rounded() ? String(Int(self)) : String(self) }
}
