import Contract
import Credentials
import JSON

/// A key that a job or a dashboard shows instead of signing in, as admins see it.
struct ServiceKey: Sendable, Equatable {
    let id: EntityID
    let name: String
    let scopes: Set<Scope>
    /// Nil where it was made on the command line.
    let createdBy: EntityID?
    let createdAt: Timestamp
    let expiresAt: Timestamp?
    /// To the minute.
    let lastUsedAt: Timestamp?
    let revokedAt: Timestamp?

    /// `secret` is shown once, when the key is made.
    func write(into json: inout JSONWriter, secret: String? = nil) {
        json.object { json in
            json.key("id")
            json.id(id)
            json.key("name")
            json.string(name)
            json.key("scopes")
            json.array { json in for scope in Scope.allCases where scopes.contains(scope) { json.string(scope.rawValue) } }
            if let createdBy {
                json.key("createdBy")
                json.id(createdBy)
            }
            for (key, time) in [
                ("createdAt", createdAt as Timestamp?), ("expiresAt", expiresAt), ("lastUsedAt", lastUsedAt), ("revokedAt", revokedAt),
            ] as [(StaticString, Timestamp?)] {
                guard let time else { continue }
                json.key(key)
                json.timestamp(time)
            }
            if let secret {
                json.key("key")
                json.string(secret)
            }
        }
    }
}

/// What a key is to be.
public struct ServiceKeyOrder: Sendable {
    /// Characters of a name.
    public static let longestName = 100

    let name: String
    let scopes: Set<Scope>
    let expiresAt: Timestamp?

    /// `name` has 1 to `longestName` characters, and something to see; there is at least one scope.
    public init(name: String, scopes: Set<Scope>, expiresAt: Timestamp?) {
        self.name = name
        self.scopes = scopes
        self.expiresAt = expiresAt
    }
}

/// The secret of a service key: `kbk_` and 43 characters, so that a scan of published code finds one that has leaked.
struct ServiceKeySecret: Sendable {
    static let prefix = "kbk_"

    private let token: OpaqueToken

    init() { token = OpaqueToken() }

    /// Nil unless `text` has the shape of one.
    init?(presented text: String) {
        guard text.hasPrefix(Self.prefix), let token = OpaqueToken(presented: text.dropFirst(Self.prefix.count)) else { return nil }
        self.token = token
    }

    var text: String { Self.prefix + token.secret }
    var digest: [UInt8] { token.digest }
}
