import Contract
import JSON

/// An account as admins see it: what they decide by, and no more.
struct AccountEntry: Sendable, Equatable {
    let id: EntityID
    let version: Int64
    let username: String
    let displayName: String?
    let email: String?
    let isEmailVerified: Bool
    let status: AccountStatus
    let roles: Roles
    let isVerified: Bool
    let isCreator: Bool
    let suspendedAt: Timestamp?
    let suspendedReason: String?
    let createdAt: Timestamp

    func write(into json: inout JSONWriter) {
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
            json.key("status")
            json.string(status.rawValue)
            json.key("roles")
            json.array { json in for role in roles.all { json.string(role.rawValue) } }
            json.key("isVerified")
            json.bool(isVerified)
            json.key("isCreator")
            json.bool(isCreator)
            if let suspendedAt {
                json.key("suspendedAt")
                json.timestamp(suspendedAt)
            }
            json.optional("suspendedReason", suspendedReason)
            json.key("createdAt")
            json.timestamp(createdAt)
        }
    }
}

/// Which accounts an admin asked for, the newest first. Every condition that is set must hold.
struct AccountFilter: Sendable, Hashable {
    var status: AccountStatus?
    var role: Role?
    /// Part of a username, a display name or an address, in any case.
    var search: String?

    /// Names the filter in cursors.
    var order: UInt64 { Digest("accounts \(status?.rawValue ?? "-") \(role?.rawValue ?? "-") \(search?.lowercased() ?? "")").value }
}
