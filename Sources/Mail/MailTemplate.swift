import Contract
import Credentials

/// What the gateway writes to people about their accounts.
public enum MailTemplate: Sendable {
    /// Proves that the address is its holder's. The link works once, for as long as `validity` says.
    case verifyAddress(username: String, token: OpaqueToken, validity: Duration)
    /// Sets a new password. What holds for `verifyAddress` holds here.
    case resetPassword(username: String, token: OpaqueToken, validity: Duration)
    /// Somebody tried to register with the address of this account; only its holder is told so.
    case alreadyRegistered(username: String)
    case passwordChanged(username: String)
    /// To the address that was the account's until now.
    case addressChanged(username: String)

    /// Stands in `mails.template`: never reuse one.
    public var name: String {
        switch self {
        case .verifyAddress: "verify_address"
        case .resetPassword: "reset_password"
        case .alreadyRegistered: "already_registered"
        case .passwordChanged: "password_changed"
        case .addressChanged: "address_changed"
        }
    }

    public var subject: String {
        switch self {
        case .verifyAddress: "Confirm your e-mail address"
        case .resetPassword: "Set a new password"
        case .alreadyRegistered: "You already have an account"
        case .passwordChanged: "Your password was changed"
        case .addressChanged: "Your e-mail address was changed"
        }
    }

    /// Plain text; lines end in `\n`.
    public func text(_ links: MailLinks) -> String {
        switch self {
        case .verifyAddress(let username, let token, let validity):
            """
            Hello \(username),

            please confirm that this e-mail address is yours:

            \(links.verifyAddress(token))

            The link works once, for \(Self.words(validity)). If you did not register, you need not do anything.
            """
        case .resetPassword(let username, let token, let validity):
            """
            Hello \(username),

            somebody, most likely you, asked to set a new password for your account:

            \(links.resetPassword(token))

            The link works once, for \(Self.words(validity)). If you did not ask for it, you need not do anything: your password \
            stays as it is.
            """
        case .alreadyRegistered(let username):
            """
            Hello \(username),

            somebody, most likely you, tried to register with this e-mail address, which has an account already. Sign in, or set
            a new password if you no longer know yours:

            \(links.forgotPassword)

            If it was not you, you need not do anything.
            """
        case .passwordChanged(let username):
            """
            Hello \(username),

            the password of your account was changed, and every other session was signed out. If it was not you, set a new
            password at once:

            \(links.forgotPassword)
            """
        case .addressChanged(let username):
            """
            Hello \(username),

            your account has another e-mail address from now on, and this one is no longer yours there. If it was not you, write to
            those who run the market.
            """
        }
    }

    /// Whole hours where they are, else minutes.
    private static func words(_ duration: Duration) -> String {
        let minutes = duration.components.seconds / 60
        let (count, unit) = minutes >= 60 && minutes % 60 == 0 ? (minutes / 60, "hour") : (minutes, "minute")
        return "\(count) \(unit)\(count == 1 ? "" : "s")"
    }
}

/// Where the links in mails lead: pages of the web client, which call the API.
public struct MailLinks: Sendable, Hashable {
    /// `https://example.org`, with no slash at its end.
    private let base: String

    public init(base: String) {
        self.base = String(base.reversed().drop { $0 == "/" }.reversed())
    }

    // After `#`: browsers send no fragment to a server, so that no log and no Referer holds a token (OWASP ASVS 5.0, 14.2.1).
    func verifyAddress(_ token: OpaqueToken) -> String { "\(base)/verify-email#token=\(token.secret)" }
    func resetPassword(_ token: OpaqueToken) -> String { "\(base)/reset-password#token=\(token.secret)" }
    var forgotPassword: String { "\(base)/forgot-password" }
}
