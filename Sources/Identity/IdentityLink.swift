import Contract
import DataPlane
import PostgresClient

/// Which account of ours an identity elsewhere belongs to: one row of `user_identities` each, made at the first sight of the identity.
///
/// An e-mail address joins an identity to an account that is there already only where the issuer vouches for it **and** it has been
/// verified here. With less, whoever registers an address that is not theirs, there or here, would get into its holder's account. An
/// address that the issuer does not vouch for is not taken over either, and the answer is the same whether it is known here or not.
public struct IdentityLinks: Sendable {
    private let store: IdentityLinkStore
    private let notice: CommitNotice
    private let known: BatchLoader<IdentityKey, LinkedAccount>

    public init(
        postgres: PostgresAccess, notice: CommitNotice, observer: any Observer, timeout: Duration = .seconds(2)
    ) {
        let store = IdentityLinkStore(postgres: postgres, timeout: timeout)
        self.store = store
        self.notice = notice
        known = BatchLoader(kind: "identity", observer: observer) { keys throws(Problem) in try await store.accounts(keys) }
    }

    /// The account that `identity` belongs to; where there is none, an account with the same verified address is joined to it, or a new
    /// one is made. Throws `accountSuspended`, and `unauthenticated` where the account is deleted; `storeUnavailable` or `overloaded`.
    func account(for identity: ForeignIdentity, caller: Caller?) async throws(Problem) -> LinkedAccount {
        if let account = try await known.values(for: [identity.key])[0] { return try Self.inGoodStanding(account) }
        // A first sight that another one outruns, of the identity, its address or its username, is one no more.
        for _ in 0..<Self.attempts {
            do throws(Problem) {
                let outcome = try await store.firstSight(of: identity, usernames: UsernameChoice.candidates(for: identity)) { outcome in
                    Self.events(of: outcome, identity, caller)
                }
                if case .made(_, let changes) = outcome { try await notice.committed(changes) }
                return try Self.inGoodStanding(outcome.account)
            } catch {
                guard error == IdentityLinkStore.outrun else { throw error }
            }
        }
        throw .overloaded
    }

    private static let attempts = 5

    private static func inGoodStanding(_ account: LinkedAccount) throws(Problem) -> LinkedAccount {
        switch account.status {
        case .active, .pending: return account
        case .suspended: throw .accountSuspended
        case .deleted: throw .unauthenticated
        }
    }

    /// Joins `identity` to an account that asks for it. Throws `conflict` where it belongs to another one; `storeUnavailable` or
    /// `overloaded`.
    func link(_ identity: ForeignIdentity, to user: EntityID, caller: Caller) async throws(Problem) {
        let event = Self.event("identity_linked", .notice, user, identity.key.issuer, caller)
        guard try await store.link(identity, to: user, filing: event) else {
            throw Problem(.conflict, "This identity belongs to another account; sign in with it, and unlink it there first.")
        }
    }

    /// Takes the identities at `issuer` from an account. Throws `notFound` where it has none there, `conflict` where nobody could sign in
    /// to the account afterwards; `storeUnavailable` or `overloaded`.
    func unlink(issuer: String, from account: Account, caller: Caller) async throws(Problem) {
        let event = Self.event("identity_unlinked", .notice, account.id, issuer, caller)
        switch try await store.unlink(issuer: issuer, from: account.id, filing: event) {
        case .done: break
        case .nothingThere: throw .notFound("link")
        case .lastWayIn: throw Problem(.conflict, "This is the only way into the account; set a password or link another identity first.")
        }
    }

    /// The issuers at which an account has an identity.
    func issuers(of account: Account) async throws(Problem) -> Set<String> { try await store.issuers(of: account) }

    private static func events(
        of outcome: IdentityLinkStore.FirstSight, _ identity: ForeignIdentity, _ caller: Caller?
    ) -> [AuditEvent] {
        switch outcome {
        case .known: []
        case .joined(let account): [event("identity_linked", .notice, account.id, identity.key.issuer, caller, reason: "email")]
        case .made(let account, _): [event("registered", .info, account.id, identity.key.issuer, caller)]
        }
    }

    private static func event(
        _ action: String, _ severity: AuditEvent.Severity, _ user: EntityID, _ issuer: String, _ caller: Caller?, reason: String? = nil
    ) -> AuditEvent {
        var metadata: [AuditEvent.Detail: String] = [.issuer: issuer]
        if let reason { metadata[.reason] = reason }
        return AuditEvent(
            action, .account, severity, actor: user, target: AuditEvent.Target(kind: "user", id: user), caller: caller,
            metadata: metadata)
    }
}
