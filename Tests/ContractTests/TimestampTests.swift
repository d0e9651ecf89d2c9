import Contract
import Foundation
import TestSupport
import Testing

@Suite struct TimestampTests {
    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"), (-2_203_977_600_000, "1900-02-28T00:00:00.000Z"),
        (-2_203_891_200_000, "1900-03-01T00:00:00.000Z"), (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"), (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
    ])
    func knownInstantsAreShownAsRFC3339(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
    }

    @Test func everyInstantIsShownAsFoundationHasIt() throws {
        var random = SeededGenerator()
        var calendar = Calendar(identifier: .iso8601)
        calendar.timeZone = try #require(TimeZone(secondsFromGMT: 0))
        func pad(_ value: Int?, _ width: Int) -> String {
            let digits = String(value ?? -1)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let leapDays = [-126_230_400, 68_169_600, 1_582_934_400].flatMap { day in [Int64(day) * 1000, Int64(day) * 1000 + 86_399_999] }
        // 1600 to 2600, in milliseconds.
        let range = -11_676_096_000_000...19_880_899_200_000 as ClosedRange<Int64>
        for milliseconds in leapDays + (0..<3000).map({ _ in Int64.random(in: range, using: &random) }) {
            let seconds = Int64((Double(milliseconds) / 1000).rounded(.down))
            let parts = calendar.dateComponents(
                [.year, .month, .day, .hour, .minute, .second], from: Date(timeIntervalSince1970: Double(seconds)))
            let date = "\(pad(parts.year, 4))-\(pad(parts.month, 2))-\(pad(parts.day, 2))"
            let time = "\(pad(parts.hour, 2)):\(pad(parts.minute, 2)):\(pad(parts.second, 2)).\(pad(Int(milliseconds - seconds * 1000), 3))"
            #expect(Timestamp(milliseconds: milliseconds).description == "\(date)T\(time)Z", "\(random)")
        }
    }

    @Test func whatIsShownIsReadAgain() {
        var random = SeededGenerator()
        for milliseconds in (0..<3000).map({ _ in Int64.random(in: -62_135_596_800_000...253_402_300_799_999, using: &random) }) {
            let instant = Timestamp(milliseconds: milliseconds)
            #expect(Timestamp(instant.description) == instant, "\(random)")
        }
    }

    @Test(arguments: [
        ("2026-11-21T10:03:00+01:00", "2026-11-21T09:03:00.000Z"), ("2026-11-21T10:03:00.1-05:30", "2026-11-21T15:33:00.100Z"),
        ("2026-11-21T10:03:00.123456789Z", "2026-11-21T10:03:00.123Z"), ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
    ])
    func offsetsAndFractionsAreRead(text: String, shown: String) {
        #expect(Timestamp(text)?.description == shown)
    }

    @Test(arguments: [
        "", "2026", "2026-11-21", "2026-11-21T10:03:00", "2026-11-21 10:03:00Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-10T00:00:00Z", "2026-11-31T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T10:60:00Z", "2026-11-21T10:03:61Z",
        "2026-11-21T10:03:00.Z", "2026-11-21T10:03:00+0100", "2026-11-21T10:03:00+24:00", "2026-11-21T10:03:00Zx", "-026-11-21T10:03:00Z",
        "٢٠٢٦-11-21T10:03:00Z", "2026-11-21T10:03:00z",
    ])
    func whatIsNoTimeIsNotRead(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func microsecondsAreRoundedDownOnBothSidesOf1970() {
        #expect(Timestamp(microseconds: 1999).milliseconds == 1)
        #expect(Timestamp(microseconds: -1).milliseconds == -1)
        #expect(Timestamp(microseconds: -1000).milliseconds == -1)
        #expect(Timestamp(microseconds: -1001).milliseconds == -2)
        #expect(Timestamp(microseconds: -1).description == "1969-12-31T23:59:59.999Z")
    }

    @Test func noInstantIsTooFarToBeShown() {
        for microseconds in [Int64.min, .min + 1, .max] {
            #expect(Timestamp(microseconds: microseconds).description.utf8.count == 24)
        }
    }
}
