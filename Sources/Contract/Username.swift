/// What a username may not be, because a path of the API or a person of trust has that name. `sql/010_identity.sql` refuses the same.
public enum Username {
    public static let reserved: Set<String> = [
        "admin", "administrator", "analytics", "anonymous", "api", "auth", "beats", "cart", "creator", "explore", "favorites",
        "featured", "health", "help", "kababeat", "library", "login", "logout", "metrics", "moderator", "notifications", "null",
        "orders", "playlists", "profile", "recommendations", "register", "root", "search", "security", "settings", "staff",
        "status", "support", "system", "trending", "undefined", "upload", "users", "webhooks",
    ]
}
