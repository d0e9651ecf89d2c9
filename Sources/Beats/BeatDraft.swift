import Contract

/// Everything of a beat that its creator may write, of both databases: what an edit starts from, and what it comes to.
struct BeatDraft: Sendable, Equatable {
    var title = ""
    var description: String?
    var currency = Currency.usd
    /// What each licence costs, as decimals of `currency`; nil where it is not on sale.
    var prices: [LicenseType: Money] = [:]
    var content = BeatContentDocument()
}

/// The licences that a beat may be sold under.
enum LicenseType: String, Sendable, CaseIterable {
    case basic, premium, exclusive
}

/// A change of a beat as a client asks for it, read but not yet held against the beat that is there. Pure.
struct BeatEdit: Sendable, Equatable {
    struct Metadata: Sendable, Equatable {
        var bpm = Change<Double>.keep
        var key = Change<MusicalKey>.keep
        var genre = Change<String>.keep
        var mood = Change<String>.keep
        var tags = Change<[String]>.keep
        /// Seconds.
        var duration = Change<Double>.keep
        var album = Change<String>.keep
        var waveform = Change<[Int]>.keep
    }

    struct Artwork: Sendable, Equatable {
        var thumbnailURL = Change<String>.keep
        var fullURL = Change<String>.keep
        var colors = Change<[String]>.keep
    }

    var title = Change<String>.keep
    var description = Change<String>.keep
    var currency = Change<Currency>.keep
    /// The digits as they were sent: how many of them are allowed depends on the currency.
    var prices: [LicenseType: Change<String>] = [:]
    var metadata = Metadata()
    var artwork = Artwork()
    var collaborators = Change<[BeatContentDocument.Credit]>.keep
    /// What the version history says of it.
    var changes: String?

    /// Whether it concerns what MongoDB keeps.
    var touchesContent: Bool { metadata != Metadata() || artwork != Artwork() || collaborators != .keep }

    /// The beat after this change. Throws `invalid` with a complaint for each field that does not go with the others.
    func applied(to beat: BeatDraft) throws(Problem) -> BeatDraft {
        var beat = beat
        var complaints: [Problem.Field] = []
        if let title = title.applied(to: beat.title) {
            beat.title = title
        } else {
            complaints.append(.init("title", "is missing"))
        }
        beat.description = description.applied(to: beat.description)
        beat.currency = currency.applied(to: beat.currency) ?? .usd
        apply(prices, to: &beat, &complaints)
        if !complaints.isEmpty { throw .invalid(complaints) }
        beat.content.metadata = metadata.applied(to: beat.content.metadata)
        beat.content.artwork = artwork.applied(to: beat.content.artwork)
        beat.content.collaborators = collaborators.applied(to: beat.content.collaborators)
        return beat
    }

    private func apply(_ changes: [LicenseType: Change<String>], to beat: inout BeatDraft, _ complaints: inout [Problem.Field]) {
        let old = beat.prices
        beat.prices = [:]
        for license in LicenseType.allCases {
            let name = "licenseTypes.\(license.rawValue)"
            guard let digits = (changes[license] ?? .keep).applied(to: old[license]?.description) else { continue }
            guard let money = Money(decimal: digits, currency: beat.currency), money.minorUnits > 0 else {
                complaints.append(.init(name, Self.complaint(beat.currency)))
                continue
            }
            beat.prices[license] = money
        }
    }

    private static func complaint(_ currency: Currency) -> String {
        let most = Money(minorUnits: currency.maximumMinorUnits, currency: currency)
        return "must be an amount above 0 and up to \(most) with at most \(currency.digits) decimals (\(currency.code))"
    }
}

extension BeatEdit.Metadata {
    func applied(to metadata: BeatContentDocument.Metadata?) -> BeatContentDocument.Metadata? {
        var result = metadata ?? .init()
        result.bpm = bpm.applied(to: result.bpm)
        switch key {
        case .keep: break
        case .clear: result.key = nil
        case .set(let key): result.key = key.description
        }
        result.genre = genre.applied(to: result.genre)
        result.mood = mood.applied(to: result.mood)
        result.tags = tags.applied(to: result.tags)
        result.duration = duration.applied(to: result.duration)
        result.album = album.applied(to: result.album)
        result.waveform = waveform.applied(to: result.waveform)
        return result == .init() ? nil : result
    }
}

extension BeatEdit.Artwork {
    func applied(to artwork: BeatContentDocument.Artwork?) -> BeatContentDocument.Artwork? {
        var result = artwork ?? .init()
        result.thumbnailUrl = thumbnailURL.applied(to: result.thumbnailUrl)
        result.fullUrl = fullURL.applied(to: result.fullUrl)
        result.colors = colors.applied(to: result.colors)
        return result == .init() ? nil : result
    }
}
