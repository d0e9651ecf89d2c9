/// Something that somebody may have to account for one day. Holds no secret, no password and no token: what else there is to say is
/// said under a `Detail`, and whatever has the looks of a token is left out of every text.
public struct AuditEvent: Sendable {
    /// What kind of thing an event is of; who reads the log filters by it.
    public enum Category: String, Sendable, CaseIterable {
        case signIn = "sign_in"
        case account, session, permission, role, key, admin, limit
    }

    /// How soon somebody is to look: `info` and `notice` when they read anyway, `warning` at what attacks are made of,
    /// `critical` at a secret in the wrong hands.
    public enum Severity: String, Sendable, CaseIterable {
        case info, notice, warning, critical
    }

    /// What was done, in the past tense: `login_failed`, `role_granted`.
    public let action: String
    public let category: Category
    public let severity: Severity
    /// The account that did it, if one did.
    public let actor: EntityID?
    /// What it was done to: `user`, `session`, `beat`, and its id.
    public let target: Target?
    /// Where the request came from that did it; nil for what the gateway does by itself.
    public let caller: Caller?
    /// What else there is to say, as `harmless` leaves it.
    public let metadata: [Detail: String]

    /// What may be said of an event. There is none for secrets: a new one is a decision to take here.
    public enum Detail: String, Sendable, CaseIterable {
        case reason, role, scope, scopes, provider, issuer, name, username, permission, status, previous, transport
        case method, route, limit, count, until, factor
    }

    /// What something was done to.
    public struct Target: Sendable, Hashable {
        public let kind: String
        public let id: EntityID

        public init(kind: String, id: EntityID) {
            self.kind = kind
            self.id = id
        }
    }

    public init(
        _ action: String, _ category: Category, _ severity: Severity = .info, actor: EntityID? = nil, target: Target? = nil,
        caller: Caller? = nil, metadata: [Detail: String] = [:]
    ) {
        self.action = action
        self.category = category
        self.severity = severity
        self.actor = actor
        self.target = target
        self.caller = caller
        self.metadata = metadata.mapValues(Self.harmless)
    }

    /// `text` as it may be kept: of at most 200 characters, without control characters, and nothing of it where 40 characters of the
    /// kind that tokens are made of stand in a row (an id has 36), or a password's hash begins.
    public static func harmless(_ text: String) -> String {
        if text.contains("$2") { return removed }
        var run = 0
        for byte in text.utf8 {
            run = isOfTokens(byte) ? run + 1 : 0
            if run == 40 { return removed }
        }
        let kept = text.unicodeScalars.lazy.filter { $0.properties.generalCategory != .control }
        return String(String(String.UnicodeScalarView(kept)).prefix(200))
    }

    private static let removed = "[removed]"

    /// Of base64url (RFC 4648 §5), of hexadecimal digits, or between the parts of a JWT.
    private static func isOfTokens(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
        default: false
        }
    }
}

/// Where features write what has to be accounted for.
public protocol AuditTrail: Sendable {
    /// Returns once the event is durable. Throws `storeUnavailable` or `overloaded`: whatever must be accounted for waits for this.
    func record(_ event: AuditEvent) async throws(Problem)
}
