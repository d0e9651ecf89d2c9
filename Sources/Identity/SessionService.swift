import Contract
import CrashPoints
import Credentials
import DataPlane

/// Opens, refreshes, lists and ends sessions. That a session has ended is in Postgres before the answer goes out, and Postgres is asked
/// for every request: it is over for every instance at once.
public struct SessionService: Sendable {
    private let store: SessionStore
    private let accounts: AccountStore
    private let tokens: AccessTokens
    private let lifetimes: SessionLifetimes

    public init(
        postgres: PostgresAccess, tokens: AccessTokens, secret: IdentitySecret, lifetimes: SessionLifetimes = SessionLifetimes(),
        timeout: Duration = .seconds(2)
    ) {
        store = SessionStore(postgres: postgres, timeout: timeout, lifetimes: lifetimes, successorKey: secret.successorKey)
        accounts = AccountStore(postgres: postgres, timeout: timeout)
        self.tokens = tokens
        self.lifetimes = lifetimes
    }

    // MARK: Opening

    /// Opens a session for an account that has proven itself and is in good standing, which the caller has made sure of. Throws
    /// `unauthenticated` where `proof` holds no longer; `storeUnavailable` or `overloaded`.
    func open(_ userID: EntityID, caller: Caller, proof: SignInProof, hasSecondFactor: Bool = false) async throws(Problem) -> SignedIn {
        let account = try await accounts.own(userID, as: .authenticator)
        let id = EntityID.now
        let token = OpaqueToken()
        let opening = SessionStore.Opening(id: id, user: userID, caller: caller, proof: proof, hasSecondFactor: hasSecondFactor)
        guard try await store.open(opening, token: token) else { throw .signInRefused }
        return try await signedIn(account, session: id, refreshToken: token)
    }

    private func signedIn(_ account: OwnAccount, session: EntityID, refreshToken: OpaqueToken) async throws(Problem) -> SignedIn {
        SignedIn(
            account: account, accessToken: try await tokens.issue(user: account.id, session: session), lifetime: tokens.lifetime,
            refreshToken: refreshToken, idleLifetime: lifetimes.idle)
    }

    // MARK: Refreshing

    /// New tokens for a refresh token. Throws `unauthenticated` where it is none, or none any more; where it was used too often, the
    /// session has ended, and stays so. `accountSuspended`; `storeUnavailable` or `overloaded`: then it can be shown again.
    func refresh(_ text: String, caller: Caller) async throws(Problem) -> SignedIn {
        guard let shown = OpaqueToken(presented: text) else { throw Self.ended }
        guard let (state, new) = try await store.refresh(shown, caller: caller) else { throw Self.ended }
        crash(at: .refreshAfterRotation)
        switch state.verdict {
        case .rotate, .again:
            guard state.status != .suspended else { throw .accountSuspended }
            guard state.status != .deleted else { throw Self.ended }
            let account = try await accounts.own(state.user, as: .authenticator)
            return try await signedIn(account, session: state.sessionID, refreshToken: new)
        case .reused, .ended: throw Self.ended
        }
    }

    private static let ended = Problem(.unauthenticated, "The refresh token is unknown, used or expired; sign in again.")

    // MARK: Ending

    /// Ends the session that `account` acts in, and the one that `refreshToken` belongs to: either is enough, for a client whose access
    /// token has expired. What has ended before is no error. Throws `unauthenticated` where there is neither, `conflict` where the
    /// account acts with another issuer's token; `storeUnavailable` or `overloaded`.
    func logout(_ account: Account?, refreshToken text: String?, caller: Caller) async throws(Problem) {
        if account == nil, text == nil { throw .unauthenticated }
        if let account {
            if let id = account.sessionID {
                try await store.end(id, sparing: nil, of: account, because: .logout) { ended in
                    ended.map { Self.event("logged_out", $0, of: account.id, caller) }
                }
            } else if text == nil {
                throw Problem(.conflict, "This token is another issuer's; sign out there.")
            }
        }
        guard let text, let token = OpaqueToken(presented: text) else { return }
        try await store.end(holding: token, because: .logout) { session, user in Self.event("logged_out", session, of: user, caller) }
    }

    /// Ends one session of the account. Throws `notFound` where it has none such that lives; `storeUnavailable` or `overloaded`.
    func end(_ id: EntityID, of account: Account, caller: Caller) async throws(Problem) {
        let ended = try await store.end(id, sparing: nil, of: account, because: .chosen) { ended in
            ended.map { Self.event("session_revoked", $0, of: account.id, caller) }
        }
        guard !ended.isEmpty else { throw .notFound("session") }
    }

    /// Ends every session of the account, or every other than the one that it acts in. Throws `storeUnavailable` or `overloaded`.
    func endAll(sparingCurrent: Bool, of account: Account, caller: Caller) async throws(Problem) {
        try await store.end(nil, sparing: sparingCurrent ? account.sessionID : nil, of: account, because: .chosen) { ended in
            guard !ended.isEmpty else { return [] }
            return [
                AuditEvent(
                    "sessions_revoked", .session, actor: account.id, target: AuditEvent.Target(kind: "user", id: account.id),
                    caller: caller, metadata: [.count: String(ended.count)])
            ]
        }
    }

    private static func event(_ action: String, _ session: EntityID, of user: EntityID, _ caller: Caller) -> AuditEvent {
        AuditEvent(action, .session, actor: user, target: AuditEvent.Target(kind: "session", id: session), caller: caller)
    }

    // MARK: Looking

    /// The account as it sees itself, read as itself: one statement with its principal in one round trip. Throws `unauthenticated`
    /// where it is gone; `storeUnavailable` or `overloaded`.
    func account(of account: Account) async throws(Problem) -> OwnAccount { try await accounts.own(account) }

    /// The live sessions of the account, the newest first. Throws `storeUnavailable` or `overloaded`.
    func sessions(of account: Account) async throws(Problem) -> [Session] { try await store.sessions(of: account) }
}
