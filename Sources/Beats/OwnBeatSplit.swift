import Contract
import JSON

/// A share of what a beat earns, as the account that it is offered to finds it among its own.
struct OwnBeatSplit: Sendable, Equatable {
    let beat: EntityID
    /// Nil while the account that asks may not see the beat, or its creator.
    let title: String?
    let share: BeatSplit.Share
    /// The beat's creator.
    let offeredBy: BeatPermission.Person
    let createdAt: Timestamp
    /// Nil for an offer that is open.
    let acceptedAt: Timestamp?

    func write(into json: inout JSONWriter) {
        json.object { json in
            json.key("beat")
            json.object { json in
                json.key("id")
                json.id(beat)
                if let title {
                    json.key("title")
                    json.string(title)
                }
            }
            json.key("share")
            json.literal(share.decimal)
            json.key("isAccepted")
            json.bool(acceptedAt != nil)
            json.key("offeredBy")
            offeredBy.write(into: &json)
            json.key("createdAt")
            json.timestamp(createdAt)
            if let acceptedAt {
                json.key("acceptedAt")
                json.timestamp(acceptedAt)
            }
        }
    }
}
