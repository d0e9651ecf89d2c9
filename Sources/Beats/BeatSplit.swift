import Contract
import HTTPAPI
import JSON

/// A share of what a beat earns, offered to an account and in force once that has accepted it. Shares of a published beat are all
/// accepted and add up to exactly 100.00; a beat without any belongs to its creator alone.
struct BeatSplit: Sendable, Equatable {
    let user: EntityID
    /// Nil where the holder is not to be seen: suspended, or deleted.
    let username: String?
    let share: Share
    let acceptedAt: Timestamp?

    /// A part of the whole in hundredths of a percent, exact as money is.
    struct Share: Sendable, Equatable {
        let hundredths: Int64

        static let whole: Int64 = 100_00

        init(hundredths: Int64) { self.hundredths = hundredths }

        /// Reads `33.34`: more than 0, at most 100, at most two decimals.
        init?(decimal: String) {
            guard let amount = Money(decimal: decimal, currency: .usd), (1...Self.whole).contains(amount.minorUnits) else { return nil }
            hundredths = amount.minorUnits
        }

        /// `33.34`
        var decimal: String { Money(minorUnits: hundredths, currency: .usd).description }
    }

    /// What is offered to one account.
    struct Offer: Sendable, Equatable {
        let user: EntityID
        let share: Share
    }

    static let most = 20

    /// Reads `{"splits": [{"userId", "share"}]}`. Throws `invalid` where somebody stands twice, or shares exceed or miss the whole.
    static func offers(_ input: BodyInput) throws(Problem) -> [Offer] {
        var input = input
        var offers: [Offer] = []
        if !input.has("splits") { input.complain("splits", "is missing") }
        for part in input.objects("splits", count: 0...most, allowed: ["userId", "share"]) ?? [] {
            var part = part
            let user = EntityID(part.requiredText("userId", 1...36))
            if user == nil, part.has("userId") { part.complain("userId", "must be a UUID") }
            let share = part.decimal("share").flatMap { Share(decimal: $0) }
            if share == nil { part.complain("share", "must be a number above 0 and up to 100 with at most 2 decimals") }
            input.absorb(part)
            if let user, let share { offers.append(Offer(user: user, share: share)) }
        }
        try input.check()
        if Set(offers.map(\.user)).count < offers.count { input.complain("splits", "must not name an account twice") }
        if !offers.isEmpty, offers.reduce(0, { $0 + $1.share.hundredths }) != Share.whole {
            input.complain("splits", "must add up to exactly 100.00")
        }
        try input.check()
        return offers
    }

    func write(into json: inout JSONWriter) {
        json.object { json in
            json.key("userId")
            json.id(user)
            if let username {
                json.key("username")
                json.string(username)
            }
            json.key("share")
            json.literal(share.decimal)
            json.key("isAccepted")
            json.bool(acceptedAt != nil)
            if let acceptedAt {
                json.key("acceptedAt")
                json.timestamp(acceptedAt)
            }
        }
    }
}
