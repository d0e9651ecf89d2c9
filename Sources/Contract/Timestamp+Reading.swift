extension Timestamp {
    /// Reads an RFC 3339 time with its offset: `2026-11-21T10:03:00Z`, `2026-11-21T10:03:00.123456+01:00`. Nil for anything else, and for
    /// days and times that there are not. Leap seconds are read as the second after them; what is finer than a microsecond is dropped.
    public init?(_ text: some StringProtocol) {
        var rest = Substring(text).utf8[...]
        guard text.utf8.count <= 40, let year = Self.take(4, from: &rest, then: "-"), let month = Self.take(2, from: &rest, then: "-"),
            let day = Self.take(2, from: &rest, then: "T"), let hour = Self.take(2, from: &rest, then: ":"),
            let minute = Self.take(2, from: &rest, then: ":"), let second = Self.take(2, from: &rest, then: nil),
            let fraction = Self.takeFraction(from: &rest), let offset = Self.offset(rest), hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = Self.days(year: year, month: month, day: day)
        guard (1...12).contains(month), Self.civil(days: days) == (year, month, day) else { return nil }
        self.init(microseconds: ((days * 24 + hour) * 60 + minute - offset) * 60_000_000 + second * 1_000_000 + fraction)
    }

    private static func take(_ digits: Int, from rest: inout Substring.UTF8View.SubSequence, then separator: Unicode.Scalar?) -> Int64? {
        let part = rest.prefix(digits)
        guard part.count == digits, let value = number(part) else { return nil }
        rest = rest.dropFirst(digits)
        guard let separator else { return value }
        guard rest.first == UInt8(ascii: separator) else { return nil }
        rest = rest.dropFirst()
        return value
    }

    /// Microseconds; zero where there is no fraction.
    private static func takeFraction(from rest: inout Substring.UTF8View.SubSequence) -> Int64? {
        guard rest.first == UInt8(ascii: ".") else { return 0 }
        let digits = rest.dropFirst().prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        guard !digits.isEmpty, let value = number(digits.prefix(6)) else { return nil }
        rest = rest.dropFirst(digits.count + 1)
        return (digits.count..<max(6, digits.count)).reduce(value) { value, _ in value * 10 }
    }

    /// Minutes east of UTC.
    private static func offset(_ text: Substring.UTF8View.SubSequence) -> Int64? {
        if text.elementsEqual("Z".utf8) { return 0 }
        var rest = text.dropFirst()
        guard let sign = text.first, let hours = take(2, from: &rest, then: ":"), let minutes = take(2, from: &rest, then: nil),
            rest.isEmpty,
            hours < 24, minutes < 60
        else { return nil }
        switch sign {
        case UInt8(ascii: "+"): return hours * 60 + minutes
        case UInt8(ascii: "-"): return -(hours * 60 + minutes)
        default: return nil
        }
    }

    private static func number(_ digits: Substring.UTF8View.SubSequence) -> Int64? {
        var value: Int64 = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value * 10 + Int64(digit - UInt8(ascii: "0"))
        }
        return value
    }

    /// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`; for years that are not negative.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
