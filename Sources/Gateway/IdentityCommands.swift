import Audit
import Contract
import Credentials
import DataPlane
import Identity

/// What the command line does about keys and admins.
extension Commands {
    /// Makes a new signing key and has the others fade out. Answers what happens when.
    public static func rotateSigningKeys(_ settings: Settings, atOnce: Bool) async throws -> String {
        try await withIdentity(settings) { postgres, audit, observer in
            let secret = try settings.identitySecret() ?? .development
            let keys = SigningKeyService(
                postgres: postgres, secret: secret, tokens: AccessTokens(settings.tokens), observer: observer)
            let key = try await keys.rotate(atOnce: atOnce)
            // A whole name looks like a token, so the log keeps none.
            let event = AuditEvent(
                atOnce ? "signing_keys_replaced" : "signing_key_rotated", .key, atOnce ? .warning : .notice,
                metadata: [.name: String(key.id.prefix(16))])
            try await audit.record(event)
            let consequence =
                atOnce ? "all others count for nothing from now on" : "the others count until the last token that they signed has expired"
            return "the key \(key.id) signs from \(key.activeFrom) on; \(consequence)"
        }
    }

    /// How long a key made here may be good for.
    public static let daysOfServiceKey = 1...3650

    /// Makes a service key without an account and answers its secret. `scopes` are by name; `days` until it expires, nil for never.
    public static func createServiceKey(_ settings: Settings, name: String, scopes: [String], days: Int?) async throws -> String {
        let name = name.composed.trimmed
        if let flaw = name.flaw() { throw CommandFailure(description: "a name \(flaw)") }
        guard name.unicodeScalars.count <= ServiceKeyOrder.longestName else {
            throw CommandFailure(description: "a name has 1 to \(ServiceKeyOrder.longestName) characters")
        }
        let known = scopes.compactMap(Scope.init(rawValue:))
        guard !known.isEmpty, known.count == scopes.count else {
            throw CommandFailure(description: "the scopes are: \(Scope.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let expiresAt = days.map { Timestamp(milliseconds: Timestamp.now.milliseconds + Int64($0) * 86_400_000) }
        return try await withIdentity(settings) { postgres, audit, observer in
            let keys = ServiceKeyService(postgres: postgres, observer: observer)
            return try await keys.create(ServiceKeyOrder(name: name, scopes: Set(known), expiresAt: expiresAt))
        }
    }

    /// Makes the account with this address an admin.
    public static func grantAdmin(_ settings: Settings, email: String) async throws -> String {
        try await withIdentity(settings) { postgres, _, _ in
            let username = try await AccountAdminCommands(postgres: postgres).grantAdmin(email: email)
            return "\(username) is an admin from the next request on"
        }
    }

    private static func withIdentity(
        _ settings: Settings, _ body: (PostgresAccess, any AuditTrail, any Observer) async throws -> String
    ) async throws -> String {
        try await withStores(settings) { stores, observer in
            let postgres = PostgresAccess(stores.postgres, observer: observer)
            return try await body(postgres, AuditStore(postgres: postgres, observer: observer), observer)
        }
    }
}
