import Contract

/// The parameters of a query string, decoded once (`a[min]=1&tags=x`), each known and each at most once.
public struct QueryParameters: Sendable {
    private var values: [String: String] = [:]
    private var problems: [Problem.Field] = []

    /// A cursor may hold a title of 255 characters of up to four bytes, in Base64.
    private static let longestValue = 2048

    init(_ raw: Substring, allowed: [String], ignoringOthers: Bool = false) throws(Problem) {
        for pair in raw.split(separator: "&", omittingEmptySubsequences: true) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentEncoding.decode(parts[0], plusIsSpace: true),
                let value = PercentEncoding.decode(parts.count > 1 ? parts[1] : "", plusIsSpace: true)
            else { throw Problem(.invalidRequest, "The query is not percent-encoded UTF-8.") }
            guard allowed.contains(name) else {
                if ignoringOthers { continue }
                throw Problem(
                    .unknownParameter, "A query parameter is not known here.",
                    fields: [.init(Self.shown(name), "is not one of: \(allowed.isEmpty ? "none" : allowed.joined(separator: ", "))")])
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw .invalid([.init(name, "stands twice")])
            }
            if value.utf8.count > Self.longestValue {
                throw .invalid([.init(name, "is longer than \(Self.longestValue) bytes")])
            }
            if value.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
                throw .invalid([.init(name, "holds a control character")])
            }
        }
    }

    private static func shown(_ name: String) -> String {
        String(String.UnicodeScalarView(name.unicodeScalars.prefix(64).filter { $0.value >= 0x20 && $0.value != 0x7F }))
    }

    /// Adds a complaint; `check` throws all of them together.
    public mutating func complain(_ name: String, _ detail: String) {
        problems.append(.init(name, detail))
    }

    /// Throws when any parameter so far was found wrong.
    public func check() throws(Problem) {
        if !problems.isEmpty { throw .invalid(problems) }
    }

    /// A text that is present and not blank; nil when absent.
    public mutating func text(_ name: String, longest: Int = 100) -> String? {
        guard let value = values[name] else { return nil }
        let trimmed = value.trimmed
        guard !trimmed.isEmpty, value.unicodeScalars.count <= longest else {
            complain(name, "must have 1 to \(longest) characters")
            return nil
        }
        return trimmed
    }

    /// A decimal number within `range`; nil when absent.
    public mutating func number(_ name: String, in range: ClosedRange<Double>) -> Double? {
        guard let value = values[name] else { return nil }
        guard Self.isDecimal(value), let number = Double(value), range.contains(number) else {
            complain(name, "must be a number from \(Self.plain(range.lowerBound)) to \(Self.plain(range.upperBound))")
            return nil
        }
        return number
    }

    /// A whole number within `range`; nil when absent.
    public mutating func integer(_ name: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = values[name] else { return nil }
        guard value.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let number = Int(value),
            range.contains(number)
        else {
            complain(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    /// An exact amount of money, not negative; nil when absent.
    public mutating func money(_ name: String, currency: Currency) -> Money? {
        guard let value = values[name] else { return nil }
        guard let money = Money(decimal: value, currency: currency) else {
            complain(name, "must be an amount with at most \(currency.digits) decimals, such as 9.99")
            return nil
        }
        return money
    }

    /// One of a few words; nil when absent.
    public mutating func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, _: Choice.Type = Choice.self) -> Choice?
    where Choice.RawValue == String {
        guard let value = values[name] else { return nil }
        guard let choice = Choice(rawValue: value) else {
            complain(name, "must be one of: \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
            return nil
        }
        return choice
    }

    /// A list of texts separated by commas; empty when absent.
    public mutating func list(_ name: String, most: Int, longest: Int) -> [String] {
        guard let value = values[name] else { return [] }
        let items = value.split(separator: ",", omittingEmptySubsequences: false).map { item in
            String(item).trimmed
        }
        guard items.count <= most, items.allSatisfy({ !$0.isEmpty && $0.unicodeScalars.count <= longest }) else {
            complain(name, "must be 1 to \(most) texts of 1 to \(longest) characters, separated by commas")
            return []
        }
        return items
    }

    /// `page` or `cursor`, and `limit`.
    public mutating func page() -> PageRequest {
        let limit = integer("limit", in: 1...PageRequest.maximumLimit) ?? PageRequest.defaultLimit
        let deepest = PageRequest.maximumDepth / limit
        let page = integer("page", in: 1...deepest)
        guard let text = values["cursor"] else { return PageRequest(limit: limit, position: .page(page ?? 1)) }
        if values["page"] != nil { complain("cursor", "cannot be given together with page") }
        guard let cursor = Cursor(text) else {
            complain("cursor", "is not a cursor that a page of this list gave")
            return PageRequest(limit: limit, position: .page(1))
        }
        return PageRequest(limit: limit, position: .after(cursor))
    }

    /// Digits and the signs of a JSON number; `Double` checks their order, and would take `nan` and `0x1p3` too.
    private static func isDecimal(_ text: String) -> Bool {
        text.utf8.count <= 30 && text.utf8.allSatisfy { "0123456789.-+eE".utf8.contains($0) }
    }

    private static func plain(_ number: Double) -> String {
        Int(exactly: number).map(String.init) ?? String(number)
    }
}

/// Percent-encoding (RFC 3986 §2.1), decoded strictly.
enum PercentEncoding {
    /// Nil for a broken escape, a NUL, or bytes that are not UTF-8.
    static func decode(_ text: Substring, plusIsSpace: Bool) -> String? {
        // Most texts have nothing to decode.
        let isPlain = text.utf8.allSatisfy { byte in
            byte != UInt8(ascii: "%") && byte != 0 && (byte != UInt8(ascii: "+") || !plusIsSpace)
        }
        if isPlain { return String(text) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var iterator = text.utf8.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = digit(iterator.next()), let low = digit(iterator.next()) else { return nil }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
            default: bytes.append(byte)
            }
        }
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8?) -> UInt8? {
        guard let byte else { return nil }
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return byte - UInt8(ascii: "A") + 10
        default: return nil
        }
    }
}
