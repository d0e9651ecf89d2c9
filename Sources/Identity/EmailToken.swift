import Contract
import Credentials

/// What a link in a mail proves: that whoever follows it reads the mails to an address. Works once, for a while, and only the newest of
/// its purpose works.
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
    }

    static let invalid = Problem.invalid([.init("token", "is unknown, used or expired; ask for a new one")])
}
