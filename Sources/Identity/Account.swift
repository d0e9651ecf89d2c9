import Contract
import JSON

/// What an account's holder sees of it; nobody else does. `GET /api/auth/me` and every answer to a change of it.
public struct OwnAccount: Sendable, Equatable {
    public let id: EntityID
    /// Goes up with every change of anything below.
    public let version: Int64
    public let username: String
    public let displayName: String?
    public let email: String?
    public let isEmailVerified: Bool
    public let avatarURL: String?
    public let bio: String?
    public let isVerified: Bool
    public let isCreator: Bool
    public let status: AccountStatus
    public let roles: Roles
    /// JSON objects, as Postgres has them.
    public let socialLinks: String
    public let preferences: String
    public let createdAt: Timestamp

    /// As a JSON object, whole.
    public var json: [UInt8] {
        var json = JSONWriter(capacity: 768)
        write(into: &json)
        return json.bytes
    }

    /// What `If-Match` takes.
    public var etag: String { "\"\(version)\"" }

    /// As one value of a larger answer.
    public func write(into json: inout JSONWriter) {
        json.object { json in
            json.key("id")
            json.id(id)
            json.key("version")
            json.integer(version)
            json.key("username")
            json.string(username)
            json.optional("displayName", displayName)
            json.optional("email", email)
            json.key("emailVerified")
            json.bool(isEmailVerified)
            json.optional("avatarUrl", avatarURL)
            json.optional("bio", bio)
            json.key("isVerified")
            json.bool(isVerified)
            json.key("isCreator")
            json.bool(isCreator)
            json.key("roles")
            json.array { json in for role in roles.all { json.string(role.rawValue) } }
            json.key("socialLinks")
            json.literal(socialLinks)
            json.key("preferences")
            json.literal(preferences)
            json.key("createdAt")
            json.timestamp(createdAt)
        }
    }
}

/// How an account stands. Only an active one is seen by others and may sign in.
public enum AccountStatus: String, Sendable, CaseIterable {
    /// Registered; nobody has shown yet that the address is theirs.
    case pending
    case active, suspended, deleted
}

extension JSONWriter {
    /// Writes a member only where there is a value: absent means unknown.
    mutating func optional(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        key(name)
        string(value)
    }
}
