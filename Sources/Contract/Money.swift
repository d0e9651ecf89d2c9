/// A currency by its ISO 4217 code, with the number of decimal digits of its minor unit.
public struct Currency: Hashable, Sendable, CustomStringConvertible {
    public let code: String
    public let digits: Int

    private init(code: String, digits: Int) { (self.code, self.digits) = (code, digits) }

    /// Nil unless `code` is one of the currencies the gateway sells in: three capital letters, digits as ISO 4217 lists them.
    public init?(code: String) {
        guard let digits = Self.digitsByCode[code] else { return nil }
        self.init(code: code, digits: digits)
    }

    /// What a price is in where nothing else is said.
    public static let usd = Currency(code: "USD", digits: 2)

    public var description: String { code }

    /// The largest amount the stores hold: NUMERIC(12,2), so less than 10,000,000,000 whole units of any currency.
    public var maximumMinorUnits: Int64 { (0..<digits).reduce(9_999_999_999) { units, _ in units * 10 + 9 } }

    /// The SQL column has two decimals, so currencies with three (KWD, BHD) are not sold in.
    private static let digitsByCode: [String: Int] = {
        let two = [
            "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "INR", "MXN", "NOK", "NZD", "PLN", "SEK", "SGD", "USD",
            "ZAR",
        ]
        var table = Dictionary(uniqueKeysWithValues: two.map { ($0, 2) })
        for code in ["CLP", "JPY", "KRW"] { table[code] = 0 }
        return table
    }()
}

/// An exact amount of money: whole minor units (cents) of one currency. Never a floating-point number, in any store or message.
public struct Money: Hashable, Sendable, CustomStringConvertible {
    public let minorUnits: Int64
    public let currency: Currency

    public init(minorUnits: Int64, currency: Currency) {
        self.minorUnits = minorUnits
        self.currency = currency
    }

    /// Reads a plain decimal such as `10`, `10.5` or `0.99`: digits, at most one point, no sign, no exponent, no more decimals than the
    /// currency has, no more than the currency's `maximumMinorUnits`.
    public init?(decimal text: some StringProtocol, currency: Currency) {
        var units: Int64 = 0
        var decimals: Int?
        var digits = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: "."), decimals == nil, digits > 0 {
                decimals = 0
                continue
            }
            guard case UInt8(ascii: "0")...UInt8(ascii: "9") = byte else { return nil }
            if let count = decimals {
                guard count < currency.digits else { return nil }
                decimals = count + 1
            }
            digits += 1
            units = units * 10 + Int64(byte - UInt8(ascii: "0"))
            guard units <= currency.maximumMinorUnits else { return nil }
        }
        guard digits > 0, decimals != 0 else { return nil }
        for _ in (decimals ?? 0)..<max(currency.digits, decimals ?? 0) { units *= 10 }
        guard units <= currency.maximumMinorUnits else { return nil }
        self.init(minorUnits: units, currency: currency)
    }

    /// The amount with the currency's own digits: `10.00`, `1200` (JPY).
    public var description: String {
        guard currency.digits > 0 else { return String(minorUnits) }
        let sign = minorUnits < 0 ? "-" : ""
        var digits = String(minorUnits.magnitude)
        while digits.utf8.count <= currency.digits { digits = "0" + digits }
        return sign + digits.dropLast(currency.digits) + "." + digits.suffix(currency.digits)
    }
}
