/// What a username may not be, because a path of the API or a person of trust has that name. `sql/010_identity.sql` refuses the same.
public enum Username {
    public static let reserved: Set<String> = [
        "admin", "administrator", "analytics", "anonymous", "api", "auth", "beats", "cart", "creator", "explore", "favorites",
        "featured", "health", "help", "kababeat", "library", "login", "logout", "metrics", "moderator", "notifications", "null",
        "orders", "playlists", "profile", "recommendations", "register", "root", "search", "security", "settings", "staff",
        "status", "support", "system", "trending", "undefined", "upload", "users", "webhooks",
    ]

    /// What is wrong with a name that somebody chooses, as a complaint about its field; nil where nothing is. Whether it is free, Postgres
    /// knows.
    public static func complaint(_ name: String) -> String? {
        guard (3...50).contains(name.utf8.count), let first = name.utf8.first, let last = name.utf8.last, isAlphanumeric(first),
            isAlphanumeric(last), name.utf8.allSatisfy({ isAlphanumeric($0) || "._-".utf8.contains($0) })
        else { return "must have 3 to 50 letters, digits, dots, hyphens and underscores, and begin and end with a letter or digit" }
        // At /api/users/{id or username} an id wins.
        guard EntityID(name) == nil else { return "must not have the form of an id" }
        return reserved.contains(name.lowercased()) ? "is reserved" : nil
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }
}
