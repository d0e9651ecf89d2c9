/// So many requests in so many seconds.
public struct RateRule: Sendable, Hashable {
    /// Requests that may come at once, and that come back within `seconds`.
    public let limit: Int
    public let seconds: Int

    public static let limits = 1...1_000_000
    public static let windows = 1...86_400
    /// More a second could not be counted to the microsecond.
    private static let fastest = 10_000

    /// Nil for what is out of bounds: at most a million requests, a day, and 10,000 requests a second.
    public init?(limit: Int, seconds: Int) {
        guard Self.limits.contains(limit), Self.windows.contains(seconds), limit <= seconds * Self.fastest else { return nil }
        self.init(checked: limit, seconds)
    }

    /// As settings write it: `600/60`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let limit = Int(parts[0]), let seconds = Int(parts[1]) else { return nil }
        self.init(limit: limit, seconds: seconds)
    }

    init(checked limit: Int, _ seconds: Int) {
        self.limit = limit
        self.seconds = seconds
    }

    /// Microseconds in which one request comes back, rounded up: never more than the rule says.
    var interval: Int64 { (Int64(seconds) * 1_000_000 + Int64(limit) - 1) / Int64(limit) }

    public var text: String { "\(limit)/\(seconds)" }
}
