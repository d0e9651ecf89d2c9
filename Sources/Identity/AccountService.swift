import Contract
import CrashPoints
import Credentials
import DataPlane
import Mail
import PostgresClient

/// Makes accounts, and proves who they belong to: registration, verified addresses, forgotten and changed passwords.
///
/// Nothing here tells a stranger whether an address has an account: what differs is only in the mail, and in Postgres.
public final class AccountService: Sendable {
    /// What accounts are made and proven with.
    public struct Tools: Sendable {
        let postgres: PostgresAccess
        let sessions: SessionService
        let hasher: PasswordHasher
        let rules: PasswordRules
        let mails: MailQueue
        let limiter: any RateLimiter
        let audit: any AuditTrail
        let notice: CommitNotice

        public init(
            postgres: PostgresAccess, sessions: SessionService, hasher: PasswordHasher, rules: PasswordRules, mails: MailQueue,
            limiter: any RateLimiter, audit: any AuditTrail, notice: CommitNotice
        ) {
            self.postgres = postgres
            self.sessions = sessions
            self.hasher = hasher
            self.rules = rules
            self.mails = mails
            self.limiter = limiter
            self.audit = audit
            self.notice = notice
        }
    }

    /// What a registration came to.
    enum Registered {
        /// Where accounts may be used before their address is verified.
        case signedIn(SignedIn)
        /// A mail says the rest, to whoever reads it.
        case mailed
    }

    let tools: Tools
    let store: AccountStore
    let tokens: EmailTokenStore
    private let admitsUnverified: Bool
    let timeout: Duration

    /// For so long a name is kept from others after a registration with it, unless its address is verified before.
    private static let hold = Duration.seconds(7 * 86_400)
    /// Answers that must not tell what was found leave after a whole number of these, so that neither does their time.
    private static let beat = Duration.milliseconds(100)

    /// `admitsUnverified`: whether accounts may be used before their address is verified, as in development.
    public init(_ tools: Tools, admitsUnverified: Bool, timeout: Duration = .seconds(5)) {
        self.tools = tools
        self.admitsUnverified = admitsUnverified
        self.timeout = timeout
        store = AccountStore(postgres: tools.postgres, timeout: timeout)
        tokens = EmailTokenStore(postgres: tools.postgres, timeout: timeout)
    }

    /// What is wrong with a new password of an account that is known by these names; nil where nothing is.
    func complaint(_ password: String, names: [String]) -> String? { tools.rules.complaint(password, names: names) }

    // MARK: Registering

    static let nameTaken = Problem(.conflict, "That username is taken.", fields: [.init("username", "is taken")])
    static let addressTaken = Problem(.conflict, "That e-mail address has an account already.", fields: [.init("email", "has an account")])
    static let refusals = ["users_username_key": nameTaken, "user_accounts_email_key": addressTaken]

    /// Makes an account, or, where the address has one, has a mail say so to its holder. Either way costs one hash, holds the name, and
    /// is answered alike. Throws `conflict` where the name is taken, which anybody may know, and, where `admitsUnverified`, the address;
    /// `rateLimited`, `storeUnavailable` or `overloaded`.
    func register(_ registration: Registration, password: String, caller: Caller) async throws(Problem) -> Registered {
        try await tools.limiter.admit(.registration, subject: "email:\(registration.email.description.lowercased())")
        let hash = try await tools.hasher.hash(password)
        let id = EntityID.now
        let waiting = EmailToken.Registration(
            username: registration.username, displayName: registration.displayName, passwordHash: hash)
        let entry = try await tools.postgres.transaction(as: .authenticator, within: timeout, refusals: Self.refusals) { transaction in
            let entry = try await enter(registration, as: id, waiting, in: transaction)
            let (action, severity): (String, AuditEvent.Severity) =
                entry.known == nil ? ("registered", .info) : ("registration_repeated", .notice)
            try await transaction.file(Self.event(action, severity, entry.known ?? id, caller))
            crash(at: .registrationBeforeCommit)
            return entry
        }
        crash(at: .registrationAfterCommit)
        try await tools.notice.committed(entry.changes)
        guard admitsUnverified else { return .mailed }
        return .signedIn(try await tools.sessions.open(id, caller: caller, proof: .other))
    }

    /// What became of a registration.
    private struct Entry: Sendable {
        /// The account that the address had before.
        var known: EntityID?
        var changes: [Announcement] = []
    }

    private func enter(
        _ registration: Registration, as id: EntityID, _ waiting: EmailToken.Registration, in transaction: PostgresTransaction
    ) async throws -> Entry {
        let email = registration.email.description
        try await transaction.execute(AccountStore.lockAddress, [.text(email)])
        let known = try await transaction.query(AccountStore.byEmail, [.text(email)]).first
        if admitsUnverified {
            if known != nil { throw Self.addressTaken }
        } else {
            guard try await AccountStore.hold(registration.username, for: Self.hold, in: transaction) else { throw Self.nameTaken }
            try await AccountStore.free(registration.username, in: transaction)
        }
        if let known {
            if try await AccountStore.isTaken(registration.username, in: transaction) { throw Self.nameTaken }
            if known.status == .pending {
                // Each mail makes the account that it was sent for: nobody gets into one with another's password.
                try await mailVerification(known.id, waiting.username, email: email, for: waiting, in: transaction)
            } else {
                try await tools.mails.enqueue(.alreadyRegistered(username: known.username), to: known.email, in: transaction)
            }
            return Entry(known: known.id)
        }
        try await AccountStore.register(
            AccountStore.NewAccount(
                id: id, username: registration.username, displayName: registration.displayName, email: email, isEmailVerified: false,
                passwordHash: waiting.passwordHash, status: admitsUnverified ? .active : .pending), in: transaction)
        try await mailVerification(id, waiting.username, email: email, for: admitsUnverified ? nil : waiting, in: transaction)
        return Entry(changes: try await AccountStore.announce(id, in: transaction))
    }

    // MARK: Verifying an address

    /// Makes the address that a token was sent to the account's, verified; a pending account is active from now on. Throws
    /// `invalidRequest` where the token is none (any more), `conflict` where the address has become another account's.
    func verifyAddress(_ text: String, caller: Caller) async throws(Problem) {
        guard let token = OpaqueToken(presented: text) else { throw EmailToken.invalid }
        let changes = try await tools.postgres.transaction(as: .authenticator, within: timeout, refusals: Self.refusals) { transaction in
            guard let proof = try await EmailTokenStore.use(token, .verify, in: transaction) else { throw EmailToken.invalid }
            let old = try await transaction.query(AccountStore.byIDLocked, [.uuid(proof.user.rawValue)]).first
            if let registration = proof.registration, old?.status == .pending {
                try await AccountStore.adopt(registration, as: proof.user, in: transaction)
            }
            try await AccountStore.confirm(proof.email, of: proof.user, in: transaction)
            try await EmailTokenStore.withdraw(of: proof.user, in: transaction)
            if let old, old.isEmailVerified, old.email.lowercased() != proof.email.lowercased() {
                try await tools.mails.enqueue(.addressChanged(username: old.username), to: old.email, in: transaction)
            }
            try await transaction.file(Self.event("email_verified", .info, proof.user, caller))
            return try await AccountStore.announce(proof.user, in: transaction)
        }
        try await tools.notice.committed(changes)
    }

    /// Sends another link to an address that waits to be verified. Answers alike, and after the same time, whatever there is. Throws
    /// `rateLimited`, `storeUnavailable` or `overloaded`.
    func resendVerification(to email: EmailAddress) async throws(Problem) {
        try await mailKnown(email) { known, transaction in
            guard !known.isEmailVerified, known.status == .pending || known.status == .active else { return }
            let waiting = try await EmailTokenStore.registrations(of: known.id, in: transaction)
            if waiting.count > 1 || (known.status == .pending && waiting.isEmpty) {
                // Whose link it would be, nobody knows; who reads the mail sets a password of their own.
                try await mailReset(known, in: transaction)
            } else {
                try await mailVerification(
                    known.id, waiting.first?.username ?? known.username, email: known.email, for: waiting.first, in: transaction)
            }
        }
    }

    /// Sends a link to `email` that makes it the account's address. Throws `invalidRequest` where the password is wrong; what holds for
    /// `resendVerification` holds here.
    func changeAddress(of account: Account, to email: EmailAddress, password: String, caller: Caller) async throws(Problem) {
        try await checkPassword(of: account, password, field: "currentPassword", caller)
        try await admitMail(to: email)
        let own = try await store.own(account.id, as: .authenticator)
        try await evenly { () throws(Problem) in
            try await tools.postgres.transaction(as: .authenticator, within: timeout) { transaction in
                let known = try await transaction.query(AccountStore.byEmail, [.text(email.description)]).first
                if let known, known.id != account.id {
                    try await tools.mails.enqueue(.alreadyRegistered(username: known.username), to: known.email, in: transaction)
                } else {
                    try await mailVerification(account.id, own.username, email: email.description, in: transaction)
                }
                try await transaction.file(Self.event("email_change_asked", .notice, account.id, caller))
            }
        }
        try await tools.notice.committed([])
    }

    // MARK: Alike and in the same time

    /// Mails to one address are few, whoever asks for them.
    private func admitMail(to email: EmailAddress) async throws(Problem) {
        try await tools.limiter.admit(.recovery, subject: "email:\(email.description.lowercased())")
    }

    func mailKnown(
        _ email: EmailAddress, _ body: (AccountStore.Known, PostgresTransaction) async throws -> Void
    ) async throws(Problem) {
        try await admitMail(to: email)
        try await evenly { () throws(Problem) in
            try await tools.postgres.transaction(as: .authenticator, within: timeout) { transaction in
                guard let known = try await transaction.query(AccountStore.byEmail, [.text(email.description)]).first else { return }
                try await body(known, transaction)
            }
        }
        try await tools.notice.committed([])
    }

    /// Runs `body` and returns, or throws what it throws, after a whole number of beats.
    private func evenly(_ body: () async throws(Problem) -> Void) async throws(Problem) {
        let start = ContinuousClock.now
        let outcome: Result<Void, Problem>
        do throws(Problem) { outcome = .success(try await body()) } catch { outcome = .failure(error) }
        var end = start + Self.beat
        while end < .now { end += Self.beat }
        // Nobody waits any more where the sleep is cancelled.
        try? await Task.sleep(until: end, clock: .continuous)
        try outcome.get()
    }

    /// `registration` is what the link makes of a pending account; nil where it only proves the address.
    private func mailVerification(
        _ id: EntityID, _ username: String, email: String, for registration: EmailToken.Registration? = nil,
        in transaction: PostgresTransaction
    ) async throws {
        let token = try await EmailTokenStore.issue(.verify, for: id, email: email, registration: registration, in: transaction)
        try await tools.mails.enqueue(
            .verifyAddress(username: username, token: token, validity: EmailToken.Purpose.verify.validity), to: email, in: transaction)
    }

    func mailReset(_ known: AccountStore.Known, in transaction: PostgresTransaction) async throws {
        let token = try await EmailTokenStore.issue(.reset, for: known.id, email: known.email, in: transaction)
        try await tools.mails.enqueue(
            .resetPassword(username: known.username, token: token, validity: EmailToken.Purpose.reset.validity), to: known.email,
            in: transaction)
    }

    static func event(
        _ action: String, _ severity: AuditEvent.Severity, _ user: EntityID, _ caller: Caller
    ) -> AuditEvent {
        AuditEvent(
            action, .account, severity, actor: action == "registration_repeated" ? nil : user,
            target: AuditEvent.Target(kind: "user", id: user), caller: caller)
    }
}
