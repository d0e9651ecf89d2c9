import Contract
import Credentials
import JSON

/// One sign-in, as its account sees it among others.
struct Session: Sendable, Equatable {
    let id: EntityID
    let createdAt: Timestamp
    /// To the lifetime of an access token: noted when one is issued, so that reads write nothing.
    let lastUsedAt: Timestamp
    let expiresAt: Timestamp
    /// As the client named itself when it was last used.
    let userAgent: String?
    /// Where it was last used from.
    let address: String?
    /// Whether a second factor was shown.
    let hasSecondFactor: Bool

    /// As `GET /api/auth/sessions` lists it. Pure.
    func write(into json: inout JSONWriter, isCurrent: Bool) {
        json.object { json in
            json.key("id")
            json.id(id)
            json.optional("userAgent", userAgent)
            json.optional("address", address)
            json.key("createdAt")
            json.timestamp(createdAt)
            json.key("lastUsedAt")
            json.timestamp(lastUsedAt)
            json.key("expiresAt")
            json.timestamp(expiresAt)
            json.key("hasSecondFactor")
            json.bool(hasSecondFactor)
            json.key("isCurrent")
            json.bool(isCurrent)
        }
    }
}

/// How long sign-ins last. Access tokens have their lifetime from their issuer.
public struct SessionLifetimes: Sendable {
    /// A session ends when it is not refreshed for so long.
    public var idle = Duration.seconds(30 * 86_400)
    /// A session ends so long after it was opened, whatever is done with it.
    public var absolute = Duration.seconds(90 * 86_400)
    /// For so long whoever shows the parent of a refresh token again gets that very token: tabs that refresh together. See
    /// `RefreshVerdict`.
    public var together = Duration.seconds(10)

    public init() {}
}

/// What whoever signs in takes away. Has no description, so that no log can hold a token.
struct SignedIn: Sendable, CustomStringConvertible, CustomReflectable {
    let account: OwnAccount
    let accessToken: String
    /// How long the access token lasts.
    let lifetime: Duration
    let refreshToken: OpaqueToken
    /// How long the refresh token lasts, unless its session ends before.
    let idleLifetime: Duration

    var description: String { "a sign-in" }
    var customMirror: Mirror { Mirror(self, children: []) }

    /// The answer of login, registration and refresh. A client that asked for cookies gets no refresh token to lose. Pure.
    func json(withRefreshToken: Bool) -> [UInt8] {
        var json = JSONWriter(capacity: 2048)
        json.object { json in
            json.key("user")
            account.write(into: &json)
            json.key("accessToken")
            json.string(accessToken)
            if withRefreshToken {
                json.key("refreshToken")
                json.string(refreshToken.secret)
            }
            json.key("expiresIn")
            json.integer(lifetime.components.seconds)
        }
        return json.bytes
    }
}

/// What a refresh token is shown for.
///
/// A token is used once, and gives a child. Tabs that refresh together show the parent of a token that was made only just now: they get
/// that one too. A client that lost the answer shows it later, and gets another child in its place. A token whose child has been used is in the wrong hands, or its child is, and
/// nobody can tell which (RFC 9700 §4.14.2): the session ends. So does it when a child is shown that was given up for another one: two who take turns with one token are found out.
enum RefreshVerdict: Sendable, Hashable {
    /// First use.
    case rotate
    /// The parent of the active token.
    case again
    /// An older one.
    case reused
    /// The session is revoked or past its time, or the token is.
    case ended

    init(isLive: Bool, isUsed: Bool, hasChild: Bool, hasGrandchild: Bool) {
        self =
            if !isLive { .ended } else if !isUsed { .rotate } else if hasChild, !hasGrandchild { .again } else { .reused }
    }
}

/// Why a session was ended, as `sessions.revoked_reason` keeps it.
enum RevocationReason: String, Sendable {
    case logout = "logged_out"
    case chosen = "revoked_by_holder"
    case reuse = "refresh_token_reused"
    case passwordChanged = "password_changed"
    /// The account has got a second factor, which this session had not shown.
    case secondFactor = "second_factor_enabled"
    case suspended = "account_suspended"
    case deleted = "account_deleted"
}

/// What whoever signs in has shown.
enum SignInProof: Sendable {
    /// The password that the account has had since then. Where it has another one by now, no session is opened.
    case password(since: Timestamp)
    /// That the account is theirs because they have just made it, or by the word of another provider.
    case other
}

extension Problem {
    /// Of every sign-in that fails before the password is known to be right.
    static let signInRefused = Problem(.unauthenticated, "There is no account with this e-mail address and password.")
}
