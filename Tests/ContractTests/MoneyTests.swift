import Contract
import TestSupport
import Testing

@Suite struct MoneyTests {
    private static func currency(_ code: String) throws -> Currency { try #require(Currency(code: code)) }

    @Test(arguments: [
        ("USD", "10", 1000, "10.00"), ("USD", "10.5", 1050, "10.50"), ("USD", "0.99", 99, "0.99"), ("USD", "0.00", 0, "0.00"),
        ("USD", "007.10", 710, "7.10"), ("USD", "9999999999.99", 999_999_999_999, "9999999999.99"), ("JPY", "1200", 1200, "1200"),
        ("JPY", "0", 0, "0"), ("JPY", "9999999999", 9_999_999_999, "9999999999"), ("EUR", "0.01", 1, "0.01"),
    ])
    func plainDecimalsAreReadExactlyAndShownWithTheCurrencysOwnDigits(code: String, text: String, units: Int64, shown: String) throws {
        let money = try #require(Money(decimal: text, currency: Self.currency(code)))
        #expect(money.minorUnits == units)
        #expect(money.description == shown)
    }

    @Test(arguments: [
        ("USD", ""), ("USD", "."), ("USD", ".5"), ("USD", "5."), ("USD", "1.234"), ("USD", "-1"), ("USD", "+1"), ("USD", "1e3"),
        ("USD", "1,5"),
        ("USD", " 1"), ("USD", "1 "), ("USD", "1..0"), ("USD", "1.0.0"), ("USD", "0x10"), ("USD", "NaN"), ("USD", "Infinity"), ("USD", "１"),
        ("USD", "10000000000"), ("USD", "10000000000.00"), ("USD", "99999999999999999999999999"), ("USD", "1\0"),
        ("JPY", "1.0"), ("JPY", "1."), ("JPY", "10000000000"),
    ])
    func whatIsNoPlainDecimalOrDoesNotFitTheColumnIsRefused(code: String, text: String) throws {
        #expect(Money(decimal: text, currency: try Self.currency(code)) == nil)
    }

    @Test func everyAmountReadsBackFromItsText() throws {
        var random = SeededGenerator()
        for code in ["USD", "JPY", "EUR", "KRW"] {
            let currency = try Self.currency(code)
            let bounds = [0, 1, 9, 10, 99, 100, 101, currency.maximumMinorUnits]
            for units in bounds
                + (0..<2000).map({ _ in Int64.random(in: 0...currency.maximumMinorUnits >> Int64.random(in: 0...40), using: &random) })
            {
                let money = Money(minorUnits: units, currency: currency)
                #expect(Money(decimal: money.description, currency: currency) == money, "\(random)")
            }
        }
    }

    @Test func negativeAmountsAreShownWhole() {
        #expect(Money(minorUnits: -5, currency: .usd).description == "-0.05")
        #expect(Money(minorUnits: -12345, currency: .usd).description == "-123.45")
        #expect(Money(minorUnits: .min, currency: .usd).description == "-92233720368547758.08")
    }

    @Test(arguments: ["", "usd", "US", "USDX", "XXX", "KWD", "BTC", "ÜSD", "€"])
    func currenciesThatAreNotSoldInAreUnknown(_ code: String) {
        #expect(Currency(code: code) == nil)
    }
}
