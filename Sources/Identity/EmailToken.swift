import Contract
import Credentials

/// What a link in a mail proves: that whoever follows it reads the mails to an address. Works once, for a while, and only the newest of
/// its purpose works, or, where several registered with one address, the newest of each.
enum EmailToken {
    enum Purpose: String, Sendable {
        /// Makes the address the account's, verified.
        case verify
        /// Sets a new password.
        case reset

        var validity: Duration {
            switch self {
            case .verify: .seconds(24 * 3600)
            case .reset: .seconds(30 * 60)
            }
        }
    }

    /// Whose token it is, and the address that it was sent to.
    struct Proof: Sendable {
        let user: EntityID
        let username: String
        let email: String
        /// What the mail was sent for, where that was a registration.
        let registration: Registration?
    }

    /// What a pending account becomes when the mail that was sent for it is followed.
    struct Registration: Sendable {
        let username: String
        let displayName: String?
        let passwordHash: String
    }

    static let invalid = Problem.invalid([.init("token", "is unknown, used or expired; ask for a new one")])
}
