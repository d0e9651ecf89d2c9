import Glibc

/// A point in time: microseconds since 1970 UTC, as Postgres keeps it. Answers show milliseconds (RFC 3339, `Z`).
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }
    public init(milliseconds: Int64) { self.microseconds = milliseconds * 1000 }

    /// The system's clock.
    public static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    /// Milliseconds since 1970, rounded down, as MongoDB keeps dates.
    public var milliseconds: Int64 { Self.divide(microseconds, 1000).quotient }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

    /// `2026-11-21T10:03:00.123Z`
    public var description: String {
        String(unsafeUninitializedCapacity: 24) { write(into: $0) }
    }

    /// Writes the 24 characters of the RFC 3339 form; years outside 0...9999 are shown as the nearest that fits.
    @discardableResult
    public func write(into buffer: UnsafeMutableBufferPointer<UInt8>) -> Int {
        let (days, rest) = Self.divide(milliseconds, 86_400_000)
        let (year, month, day) = Self.civil(days: days)
        func put(_ value: Int64, _ width: Int, at start: Int, then separator: UInt8) {
            var value = value
            for index in (start..<start + width).reversed() {
                buffer[index] = UInt8(ascii: "0") + UInt8(value % 10)
                value /= 10
            }
            buffer[start + width] = separator
        }
        put(min(max(year, 0), 9999), 4, at: 0, then: UInt8(ascii: "-"))
        put(month, 2, at: 5, then: UInt8(ascii: "-"))
        put(day, 2, at: 8, then: UInt8(ascii: "T"))
        put(rest / 3_600_000, 2, at: 11, then: UInt8(ascii: ":"))
        put(rest / 60_000 % 60, 2, at: 14, then: UInt8(ascii: ":"))
        put(rest / 1000 % 60, 2, at: 17, then: UInt8(ascii: "."))
        put(rest % 1000, 3, at: 20, then: UInt8(ascii: "Z"))
        return 24
    }

    /// Year, month and day of a count of days since 1970-01-01 in the proleptic Gregorian calendar.
    /// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let (era, dayOfEra) = divide(shifted, 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    private static func divide(_ value: Int64, _ by: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: by)
        return remainder < 0 ? (quotient - 1, remainder + by) : (quotient, remainder)
    }
}
