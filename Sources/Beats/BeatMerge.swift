import Contract
import JSON

/// Joins what the stores said of one beat into the bytes that everybody may read who may see the beat. Pure: no store, no clock.
enum BeatMerge {
    /// `content` is nil where MongoDB has none; `sources` is written only where something is not fresh.
    static func beat(_ core: BeatCore, _ content: BeatContent?, sources: Sources = .fresh) -> [UInt8] {
        var json = JSONWriter(capacity: 640 + (content?.members.count ?? 0))
        json.object { json in
            json.key("id")
            json.id(core.id)
            json.key("version")
            json.integer(core.version)
            json.key("status")
            json.string(core.status.rawValue)
            json.key("title")
            json.string(core.title)
            if let description = core.description {
                json.key("description")
                json.string(description)
            }
            creator(core.creator, into: &json)
            prices(core, into: &json)
            json.key("isFeatured")
            json.bool(core.isFeatured)
            if let content {
                json.members(content.members)
                stats(content.stats, into: &json)
            }
            json.key("createdAt")
            json.timestamp(core.createdAt)
            json.key("updatedAt")
            json.timestamp(core.updatedAt)
            if sources != .fresh { json.sources(sources) }
        }
        return json.bytes
    }

    private static func creator(_ creator: BeatCore.Creator, into json: inout JSONWriter) {
        json.key("creator")
        json.object { json in
            json.key("id")
            json.id(creator.id)
            json.key("username")
            json.string(creator.username)
            if let name = creator.displayName {
                json.key("displayName")
                json.string(name)
            }
            if let url = creator.avatarURL {
                json.key("avatarUrl")
                json.string(url)
            }
            json.key("isVerified")
            json.bool(creator.isVerified)
        }
    }

    private static func prices(_ core: BeatCore, into json: inout JSONWriter) {
        if let lowest = core.prices.lowest {
            json.key("price")
            json.money(lowest)
        }
        json.key("currency")
        json.string(core.currency.code)
        json.key("licenseTypes")
        json.object { json in
            if let basic = core.prices.basic {
                json.key("basic")
                json.money(basic)
            }
            if let premium = core.prices.premium {
                json.key("premium")
                json.money(premium)
            }
            if let exclusive = core.prices.exclusive {
                json.key("exclusive")
                json.money(exclusive)
            }
        }
    }

    private static func stats(_ stats: BeatStats, into json: inout JSONWriter) {
        json.key("stats")
        json.object { json in
            json.key("plays")
            json.integer(stats.plays)
            json.key("likes")
            json.integer(stats.likes)
            json.key("downloads")
            json.integer(stats.downloads)
            json.key("shares")
            json.integer(stats.shares)
        }
    }
}
