import Contract
import JSON

/// What one account may do with a beat of another's. It is an invitation until that account accepts it, and counts for nothing till then.
///
/// Its owner and the invited see it, nobody else.
struct BeatPermission: Sendable, Equatable {
    /// `viewer` may read the beat whatever its status, `collaborator` may edit it too. `owner` is what the catalogue calls a second
    /// owner; it cannot be given here.
    enum Level: String, Sendable, CaseIterable {
        case owner, collaborator, viewer
    }

    /// An account as everybody sees it; the id alone where it is not to be seen any more.
    struct Person: Sendable, Equatable {
        let id: EntityID
        let username: String?
        let displayName: String?
        let avatarURL: String?
    }

    let beat: EntityID
    /// Nil while the account that asks may not see the beat, or its creator.
    let title: String?
    let person: Person
    let grantedBy: Person
    let level: Level
    let createdAt: Timestamp
    /// Nil for an invitation.
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
            json.key("user")
            person.write(into: &json)
            json.key("permission")
            json.string(level.rawValue)
            json.key("status")
            json.string(acceptedAt == nil ? "invited" : "accepted")
            json.key("grantedBy")
            grantedBy.write(into: &json)
            json.key("createdAt")
            json.timestamp(createdAt)
            if let acceptedAt {
                json.key("acceptedAt")
                json.timestamp(acceptedAt)
            }
        }
    }
}

extension BeatPermission.Person {
    func write(into json: inout JSONWriter) {
        json.object { json in
            json.key("id")
            json.id(id)
            if let username {
                json.key("username")
                json.string(username)
            }
            if let displayName {
                json.key("displayName")
                json.string(displayName)
            }
            if let avatarURL {
                json.key("avatarUrl")
                json.string(avatarURL)
            }
        }
    }
}
