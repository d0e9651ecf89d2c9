import Contract
import DataPlane
import Foundation
import PostgresClient

/// What Postgres has for an identity that somebody else vouches for.
struct LinkedAccount: Sendable, Equatable {
    let id: EntityID
    let status: AccountStatus
    let roles: Roles
    /// Whether its e-mail address has been verified here.
    let isVerified: Bool
}

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

/// The name of an account that is made at the first sight of an identity. Its holder can change it.
enum UsernameChoice {
    /// Names in the order of preference: what the issuer calls them, the same with a number, and one that nobody has.
    static func candidates(for identity: ForeignIdentity) -> [String] {
        var names: [String] = []
        // Never from the address: half of it would be public.
        if let name = (identity.username ?? identity.displayName).flatMap(clean) {
            names.append(name)
            for digits in [100...999, 10_000...99_999] { names.append("\(name.prefix(40))-\(Int.random(in: digits))") }
        }
        names.append("listener-\(Int.random(in: 1_000_000_000...9_999_999_999))")
        return names
    }

    /// `text` as `users_username_shape` wants a name; nil where nothing of that kind is left, or it means something else here.
    static func clean(_ text: String) -> String? {
        let folded = text.folding(options: .diacriticInsensitive, locale: nil).split(separator: "@").first.map(String.init) ?? ""
        var name = ""
        for character in folded.unicodeScalars {
            let isKept = character.isASCII && (character.properties.isAlphabetic || ("0"..."9").contains(character))
            if isKept || "._-".unicodeScalars.contains(character) {
                name.unicodeScalars.append(character)
            } else if !name.hasSuffix("-") {
                name += "-"
            }
        }
        let ends = CharacterSet(charactersIn: "._-")
        name = String(name.trimmingCharacters(in: ends).prefix(50)).trimmingCharacters(in: ends)
        return Username.complaint(name) == nil ? name : nil
    }

    /// As `users_display_name_length` wants one.
    static func displayName(_ text: String?) -> String? {
        guard let text else { return nil }
        let kept = String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.properties.generalCategory != .control }))
        let name = String(kept.trimmingCharacters(in: .whitespaces).unicodeScalars.prefix(100))
        return name.isEmpty ? nil : name
    }
}
