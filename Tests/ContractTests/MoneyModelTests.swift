import Contract
import TestSupport
import Testing

/// Money against integers that cannot overflow, with rules of their own: what a decimal is stands here a second time.
@Suite struct MoneyModelTests {
    /// The minor units that a text names, if it is a plain decimal that the currency can hold.
    private static func units(_ text: String, _ currency: Currency) -> Int128? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.unicodeScalars.allSatisfy { ("0"..."9").contains($0) } }) else {
            return nil
        }
        let decimals = parts.count == 2 ? parts[1] : ""
        guard decimals.count <= currency.digits else { return nil }
        let digits = (parts[0] + decimals + String(repeating: "0", count: currency.digits - decimals.count)).drop { $0 == "0" }
        guard digits.count <= 30 else { return nil }
        let units = digits.isEmpty ? 0 : Int128(digits) ?? -1
        return units <= Int128(currency.maximumMinorUnits) ? units : nil
    }

    private static func text(_ units: Int128, _ currency: Currency) -> String {
        guard currency.digits > 0 else { return "\(units)" }
        let scale = (0..<currency.digits).reduce(Int128(1)) { scale, _ in scale * 10 }
        let rest = "\(units.magnitude % scale.magnitude)"
        let padded = String(repeating: "0", count: currency.digits - rest.count) + rest
        return "\(units < 0 ? "-" : "")\(units.magnitude / scale.magnitude).\(padded)"
    }

    /// Texts that are decimals, nearly are, or are none.
    private static func candidate(_ random: inout SeededGenerator) -> String {
        func digits(_ count: Int) -> String { String((0..<count).map { _ in random.element(of: Array("0123456789")) }) }
        var text = digits(Int.random(in: 0...13, using: &random))
        if Bool.random(using: &random) { text += "." + digits(Int.random(in: 0...3, using: &random)) }
        if Int.random(in: 0..<4, using: &random) == 0 {
            let index = text.index(text.startIndex, offsetBy: Int.random(in: 0...text.count, using: &random))
            text.insert(random.element(of: Array(".-+eE, 0９\u{0}x")), at: index)
        }
        return text
    }

    @Test func aTextIsReadAsTheModelReadsItOrRefusedWithIt() throws {
        var random = SeededGenerator()
        let currencies = try ["USD", "JPY", "EUR", "KRW"].map { try #require(Currency(code: $0)) }
        var taken = 0
        for _ in 0..<40_000 {
            let (text, currency) = (Self.candidate(&random), random.element(of: currencies))
            let money = Money(decimal: text, currency: currency)
            #expect(money.map { Int128($0.minorUnits) } == Self.units(text, currency), "\(random): \(text.debugDescription) \(currency)")
            guard let money else { continue }
            taken += 1
            #expect(money.description == Self.text(Int128(money.minorUnits), currency), "\(random)")
        }
        #expect((5000..<35_000).contains(taken), "\(random)")
    }

    @Test func anAmountIsShownAsTheModelShowsItWhateverItsSizeAndSign() throws {
        var random = SeededGenerator()
        for code in ["USD", "JPY"] {
            let currency = try #require(Currency(code: code))
            for _ in 0..<10_000 {
                let units = Int64.random(in: .min ... .max, using: &random) >> Int64.random(in: 0...63, using: &random)
                #expect(Money(minorUnits: units, currency: currency).description == Self.text(Int128(units), currency), "\(random)")
            }
        }
    }

    /// A list sorted by minor units is sorted by what its texts say.
    @Test func theOrderOfAmountsIsTheOrderOfTheirMinorUnits() throws {
        var random = SeededGenerator()
        let amounts = (0..<2000).map { _ in
            Money(
                minorUnits: Int64.random(
                    in: 0...Currency.usd.maximumMinorUnits >> Int64.random(in: 0...36, using: &random), using: &random), currency: .usd)
        }
        let byUnits = amounts.sorted { $0.minorUnits < $1.minorUnits }.map(\.description)
        let byText = amounts.map(\.description).sorted { ($0.count, $0) < ($1.count, $1) }
        #expect(byUnits == byText, "\(random)")
    }
}
