import Contract
import Credentials
import DataPlane
import Mail
import PostgresClient

/// Sign-in with e-mail address and password.
///
/// Whoever asks learns of an account only what its password opens: each attempt that fails before that does the work of one hash, waits
/// for one audit entry, and has the same answer, whether there is such an account or not (OWASP ASVS 5.0, 6.3.8).
public struct PasswordSignIn: Sendable {
    /// One attempt. Has no description, so that no log can hold a password.
    struct Attempt: Sendable, CustomStringConvertible, CustomReflectable {
        let email: String
        let password: String
        /// Of the second factor.
        let code: String?

        var description: String { "a sign-in attempt" }
        var customMirror: Mirror { Mirror(self, children: []) }
    }

    private let store: SignInStore
    private let hasher: PasswordHasher
    private let sessions: SessionService
    private let secondFactor: SecondFactorService
    private let limiter: any RateLimiter
    private let audit: any AuditTrail
    private let admitsUnverified: Bool

    /// `admitsUnverified`: whether an account may sign in whose address nobody has shown to be theirs; in development alone.
    public init(
        postgres: PostgresAccess, hasher: PasswordHasher, sessions: SessionService, secondFactor: SecondFactorService,
        limiter: any RateLimiter, audit: any AuditTrail, admitsUnverified: Bool, timeout: Duration = .seconds(2)
    ) {
        store = SignInStore(postgres: postgres, timeout: timeout)
        self.hasher = hasher
        self.sessions = sessions
        self.secondFactor = secondFactor
        self.limiter = limiter
        self.audit = audit
        self.admitsUnverified = admitsUnverified
    }

    /// Opens a session. Throws `unauthenticated` where address and password do not belong together; with the right password
    /// `accountSuspended`, `forbidden` for an address that is not verified, and `secondFactorNeeded`. `rateLimited` after too many
    /// attempts for one address, `storeUnavailable` or `overloaded`.
    func signIn(_ attempt: Attempt, caller: Caller) async throws(Problem) -> SignedIn {
        try await limiter.admit(.signIn, subject: "email:\(attempt.email.lowercased())")
        // What is no address is nobody's, whatever Postgres takes it for in lower case.
        let known = EmailAddress(attempt.email) == nil ? nil : try await store.find(email: attempt.email)
        let verdict: PasswordHasher.Verdict?
        if let hash = known?.passwordHash {
            verdict = try await hasher.verify(attempt.password, against: hash)
        } else {
            try await hasher.verifyNothing(attempt.password)
            verdict = nil
        }
        guard let known, let verdict, verdict.matches, known.status != .deleted else {
            try await note("login_failed", .warning, known, caller)
            throw .signInRefused
        }
        try await checkStanding(known, caller)
        if known.hasSecondFactor {
            guard let code = attempt.code else {
                throw Problem(.secondFactorNeeded, "The password is right; send the same login again with code.")
            }
            try await secondFactor.prove(code, of: known.id, caller: caller)
        }
        if verdict.needsRehash { try await store.renew(known, hash: try await hasher.hash(attempt.password)) }
        let signedIn = try await sessions.open(
            known.id, caller: caller, proof: .password(since: known.passwordSince), hasSecondFactor: known.hasSecondFactor)
        try await note("logged_in", .info, known, caller)
        return signedIn
    }

    /// What only whoever has the password may hear.
    private func checkStanding(_ known: SignInStore.Known, _ caller: Caller) async throws(Problem) {
        if known.status == .suspended {
            try await note("login_failed", .warning, known, caller, reason: "suspended")
            throw .accountSuspended
        }
        if !known.isVerified, !admitsUnverified {
            try await note("login_failed", .notice, known, caller, reason: "unverified")
            throw Problem(.forbidden, "This e-mail address is not verified yet; open the link in the mail, or ask for another one.")
        }
    }

    private func note(
        _ action: String, _ severity: AuditEvent.Severity, _ known: SignInStore.Known?, _ caller: Caller, reason: String = "credentials"
    ) async throws(Problem) {
        let target = known.map { AuditEvent.Target(kind: "user", id: $0.id) }
        let isPassed = severity == .info
        try await audit.record(
            AuditEvent(
                action, .signIn, severity, actor: isPassed ? known?.id : nil, target: target, caller: caller,
                metadata: isPassed ? [.factor: known?.hasSecondFactor == true ? "second" : "password"] : [.reason: reason]))
    }
}
