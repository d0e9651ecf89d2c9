import Contract

/// Where a beat is in its life; everybody may see it while it is published.
public enum BeatStatus: String, Sendable, CaseIterable {
    case draft, published, archived
}

/// What Postgres knows of a beat: what is bought, sold and permitted, and who made it.
public struct BeatCore: Sendable, Equatable {
    /// Who made a beat, as everybody may see them.
    public struct Creator: Sendable, Equatable {
        public let id: EntityID
        public let username: String
        public let displayName: String?
        public let avatarURL: String?
        public let isVerified: Bool
    }

    public let id: EntityID
    public let version: Int64
    public let title: String
    public let description: String?
    public let isFeatured: Bool
    public let currency: Currency
    public let prices: LicensePrices
    public let creator: Creator
    public let createdAt: Timestamp
    public let updatedAt: Timestamp
    public var status = BeatStatus.published
}

/// What each licence costs; nil where it is not on sale. All in one currency.
public struct LicensePrices: Sendable, Equatable {
    public let basic: Money?
    public let premium: Money?
    public let exclusive: Money?

    public init(basic: Money?, premium: Money?, exclusive: Money?) {
        self.basic = basic
        self.premium = premium
        self.exclusive = exclusive
    }

    /// The lowest price on sale: what `price` shows, filters and sorts by.
    public var lowest: Money? {
        [basic, premium, exclusive].compactMap { $0 }.min { $0.minorUnits < $1.minorUnits }
    }
}

/// What MongoDB knows of a beat, as the members of a JSON object that everybody may read. Originals and stems are never in it.
public struct BeatContent: Sendable, Equatable {
    /// The version of the core that this content belongs to.
    public let version: Int64
    /// `"metadata":{…},"audio":{…},…`; empty where nothing is known.
    public let members: [UInt8]
    public var stats: BeatStats

    public init(version: Int64, members: [UInt8], stats: BeatStats = BeatStats()) {
        self.version = version
        self.members = members
        self.stats = stats
    }
}

/// How often a beat was played, liked, downloaded and shared, here.
public struct BeatStats: Sendable, Equatable {
    public var plays: Int64 = 0
    public var likes: Int64 = 0
    public var downloads: Int64 = 0
    public var shares: Int64 = 0

    public init() {}
}

/// How much of a beat an answer shows.
public enum BeatDetail: Sendable {
    /// Everything: one beat.
    case full
    /// Without waveform and credits: a row of a list.
    case summary
}
