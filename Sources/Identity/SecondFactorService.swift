import Contract
import Credentials
import DataPlane

/// One-time codes as a second factor: enrolling an authenticator app, proving it, and doing without it.
public struct SecondFactorService: Sendable {
    private static let issuer = "KabaBeat"

    private let store: SecondFactorStore
    private let hasher: PasswordHasher
    private let seal: Seal
    private let limiter: any RateLimiter
    private let audit: any AuditTrail
    private let observer: any Observer

    public init(
        postgres: PostgresAccess, hasher: PasswordHasher, secret: IdentitySecret, limiter: any RateLimiter, audit: any AuditTrail,
        observer: any Observer, timeout: Duration = .seconds(2)
    ) {
        store = SecondFactorStore(postgres: postgres, timeout: timeout)
        self.hasher = hasher
        seal = secret.seal(for: .oneTimeSecrets)
        self.limiter = limiter
        self.audit = audit
        self.observer = observer
    }

    // MARK: Proving

    /// Takes a code of the account's app, or one of its recovery codes, and spends it. Throws `secondFactorNeeded` where it is neither
    /// or was spent before; `rateLimited` after too many tries; `storeUnavailable` or `overloaded`.
    func prove(_ code: String, of user: EntityID, caller: Caller) async throws(Problem) {
        guard try await spend(code, of: user, try await store.standing(of: user), caller) else {
            throw Problem(.secondFactorNeeded, "The code is wrong, or was used before.")
        }
    }

    private func spend(
        _ code: String, of user: EntityID, _ standing: SecondFactorStore.Standing, _ caller: Caller
    ) async throws(Problem) -> Bool {
        // Six digits could be guessed by whoever has the password, and may try from everywhere.
        try await limiter.admit(.signIn, subject: "code:\(user)")
        guard standing.isConfirmed, let secret = try open(standing.sealedSecret, of: user) else { return false }
        if let recovery = RecoveryCode(presented: code) {
            let event = Self.event("recovery_code_used", .warning, user, caller)
            guard try await store.use(recovery, of: user, filing: event) else { return try await refused(user, caller) }
            return true
        }
        guard let step = secret.step(of: code, at: .now, after: nil), try await store.use(step: step, of: user) else {
            return try await refused(user, caller)
        }
        return true
    }

    private func refused(_ user: EntityID, _ caller: Caller) async throws(Problem) -> Bool {
        try await note("second_factor_failed", .warning, user, caller)
        return false
    }

    // MARK: Enrolling

    /// What an app is to be told, once.
    struct Enrolment: Sendable {
        /// Base32.
        let secret: String
        /// `otpauth://totp/...`, for a QR code.
        let uri: String
    }

    /// A new secret, which counts for nothing until `confirm`. Throws as `proveAnew` does; `conflict` where there is a second factor
    /// already.
    func enrol(_ account: Account, password: String, caller: Caller) async throws(Problem) -> Enrolment {
        let standing = try await store.standing(of: account.id)
        try await check(password, account, standing, caller)
        let code = TimeBasedCode()
        let sealed: [UInt8]
        do throws(Seal.OpenError) { sealed = try seal.seal(code.secret, at: account.id.description) } catch {
            throw observer.unexpected("second factor: \(error)")
        }
        guard try await store.enrol(account.id, sealedSecret: sealed) else {
            throw Problem(.conflict, "This account has a second factor; remove it before enrolling another.")
        }
        return Enrolment(
            secret: Base32.encode(code.secret), uri: code.uri(issuer: Self.issuer, account: standing.email ?? account.id.description))
    }

    /// Turns the second factor on, counts it as shown in this session, and ends every other session that has shown none (OWASP ASVS 5.0,
    /// 7.4.3): who has the password alone is out from now on. The recovery codes are never shown again. Throws `invalid` for a wrong code,
    /// `conflict` where nothing waits to be confirmed; `rateLimited`, `storeUnavailable` or `overloaded`.
    func confirm(_ account: Account, code: String, caller: Caller) async throws(Problem) -> [RecoveryCode] {
        try await limiter.admit(.signIn, subject: "code:\(account.id)")
        let standing = try await store.standing(of: account.id)
        let nothing = Problem(.conflict, "No second factor waits to be confirmed; enrol one first.")
        guard !standing.isConfirmed, let sealed = standing.sealedSecret, let secret = try open(sealed, of: account.id) else {
            throw nothing
        }
        guard let step = secret.step(of: code, at: .now, after: nil) else {
            throw .invalid([.init("code", "is not what the app shows now; check the clock of its device")])
        }
        let codes = RecoveryCode.makeAll()
        let isConfirmed = try await store.confirm(
            account.id, sealedSecret: sealed, step: step, codes: codes, session: account.sessionID,
            filing: Self.event("second_factor_enabled", .notice, account.id, caller))
        guard isConfirmed else { throw nothing }
        return codes
    }

    /// Turns the second factor off. Takes what `proveAnew` takes, and a code. Throws as that does; `invalid` where the code is wrong,
    /// `conflict` where there is no second factor.
    func remove(_ account: Account, password: String, code: String, caller: Caller) async throws(Problem) {
        let standing = try await store.standing(of: account.id)
        guard standing.isConfirmed else { throw Problem(.conflict, "This account has no second factor.") }
        try await check(password, account, standing, caller)
        guard try await spend(code, of: account.id, standing, caller) else {
            throw .invalid([.init("code", "is wrong, or was used before")])
        }
        try await store.remove(account.id, filing: Self.event("second_factor_disabled", .warning, account.id, caller))
    }

    /// Whether signing in to the account takes a code. Throws `storeUnavailable` or `overloaded`.
    func isEnabled(for user: EntityID) async throws(Problem) -> Bool { try await store.standing(of: user).isConfirmed }

    /// Whether the account has a second factor, and how many recovery codes are left.
    func status(of account: Account) async throws(Problem) -> (isEnabled: Bool, recoveryCodesLeft: Int) {
        let standing = try await store.standing(of: account.id)
        return (standing.isConfirmed, standing.isConfirmed ? standing.recoveryCodesLeft : 0)
    }

    // MARK: What all of it needs

    /// Before whatever changes how an account proves itself, or ends it: a stolen access token alone must not (OWASP ASVS 5.0, 7.5.1).
    /// No code is asked for: of an account that has a second factor, no session lives that has not shown one.
    /// An account without a password has signed in elsewhere within the last quarter of an hour instead. Throws `invalid` where
    /// `password` is not that of an account that has one, `forbidden` where the sign-in is older; `rateLimited`, `storeUnavailable` or
    /// `overloaded`.
    func proveAnew(_ account: Account, password: String, caller: Caller) async throws(Problem) {
        try await check(password, account, try await store.standing(of: account.id), caller)
    }

    /// How long a sign-in proves its account, where there is no password to ask for.
    static let recent = Duration.seconds(15 * 60)

    private func check(
        _ password: String, _ account: Account, _ standing: SecondFactorStore.Standing, _ caller: Caller
    ) async throws(Problem) {
        guard let hash = standing.passwordHash else {
            guard let session = account.sessionID, try await store.isSession(session, of: account.id, openedWithin: Self.recent) else {
                throw Problem(.forbidden, "This account has no password: sign in again, and do this within 15 minutes.")
            }
            return
        }
        try await limiter.admit(.signIn, subject: "password:\(account.id)")
        guard try await hasher.verify(password, against: hash).matches else {
            try await note("password_refused", .warning, account.id, caller)
            throw .invalid([.init("password", "is not the password of this account")])
        }
    }

    /// Nil where there is none. Throws `internal` where it does not open: `identity.secret` has been changed.
    private func open(_ sealed: [UInt8]?, of user: EntityID) throws(Problem) -> TimeBasedCode? {
        guard let sealed else { return nil }
        do throws(Seal.OpenError) {
            return TimeBasedCode(secret: try seal.open(sealed, at: user.description))
        } catch {
            throw observer.unexpected("second factor: \(error)")
        }
    }

    private func note(_ action: String, _ severity: AuditEvent.Severity, _ user: EntityID, _ caller: Caller) async throws(Problem) {
        try await audit.record(Self.event(action, severity, user, caller))
    }

    private static func event(
        _ action: String, _ severity: AuditEvent.Severity, _ user: EntityID, _ caller: Caller
    ) -> AuditEvent {
        AuditEvent(action, .signIn, severity, actor: user, target: AuditEvent.Target(kind: "user", id: user), caller: caller)
    }
}
