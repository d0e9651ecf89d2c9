import Contract
import DataPlane
import HTTPAPI
import PostgresClient

/// What an account's holder changes of it: profile, username, being a creator, and its end.
///
/// Every change bumps the account's version and leaves an outbox row, so that caches follow; what beats show of their creators follows by
/// a second row, of kind `creator`.
public struct AccountProfileService: Sendable {
    private let postgres: PostgresAccess
    private let secondFactor: SecondFactorService
    private let notice: CommitNotice
    private let timeout: Duration

    public init(
        postgres: PostgresAccess, secondFactor: SecondFactorService, notice: CommitNotice, timeout: Duration = .seconds(5)
    ) {
        self.postgres = postgres
        self.secondFactor = secondFactor
        self.notice = notice
        self.timeout = timeout
    }

    private typealias Changed = (account: OwnAccount, announcements: [Announcement])

    /// Throws `versionConflict` where `version` is given and the account has another one by now; `storeUnavailable` or `overloaded`.
    func change(_ account: Account, _ change: ProfileChange, ifVersion version: IfMatch) async throws(Problem) -> OwnAccount {
        let id = account.id
        let changed: Changed = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            let current = try await AccountProfileStore.lock(id, in: transaction)
            guard version.admits(current.version) else { throw IfMatch.conflict }
            try await AccountProfileStore.apply(change, to: id, in: transaction)
            let own = try await AccountStore.own(id, in: transaction)
            let isShownInBeats = own.displayName != current.displayName || own.avatarURL != current.avatarURL
            return (own, try await AccountStore.announce(id, inBeats: isShownInBeats, in: transaction))
        }
        try await notice.committed(changed.announcements)
        return changed.account
    }

    /// Gives the account another name; the old one is free for others at once. Throws `conflict` where it is taken; what holds for `change`
    /// holds here.
    func rename(
        _ account: Account, to username: String, ifVersion version: IfMatch, caller: Caller
    ) async throws(Problem) -> OwnAccount {
        let id = account.id
        // The desk's work, which alone sees names that registrations hold.
        let changed: Changed = try await postgres.transaction(
            as: .authenticator, within: timeout, refusals: AccountService.refusals
        ) { transaction in
            let current = try await AccountProfileStore.lock(id, in: transaction)
            guard version.admits(current.version) else { throw IfMatch.conflict }
            if try await AccountStore.isHeld(username, in: transaction) { throw AccountService.nameTaken }
            try await AccountStore.free(username, in: transaction)
            try await AccountProfileStore.rename(id, username, in: transaction)
            let announcements = try await AccountStore.announce(id, inBeats: true, in: transaction)
            try await transaction.file(
                Self.event("username_changed", account, caller, [.previous: current.username, .username: username]))
            return (try await AccountStore.own(id, in: transaction), announcements)
        }
        try await notice.committed(changed.announcements)
        return changed.account
    }

    /// Makes the account a creator; an account that is one stays as it is. Throws `forbidden` where an admin took that role away;
    /// `storeUnavailable` or `overloaded`. Where the request of `claim` was carried out before, answers the account as it is now.
    func becomeCreator(_ account: Account, claim: IdempotencyClaim? = nil, caller: Caller) async throws(Problem) -> OwnAccount {
        let id = account.id
        let (isCarriedOut, mark) = (claim?.isCarriedOut == true, IdempotencyMark(claim))
        let changed: Changed = try await postgres.transaction(as: PostgresSettings(.account(account)), within: timeout) { transaction in
            let current = try await AccountProfileStore.lock(id, in: transaction)
            if isCarriedOut {
                // Whoever did it may have died before anybody was told.
                let own = try await AccountStore.own(id, in: transaction)
                return (own, [Announcement(kind: .user, id: id, version: current.version)])
            }
            if current.isCreator, account.roles.contains(.creator) { return (try await AccountStore.own(id, in: transaction), []) }
            try await AccountProfileStore.becomeCreator(id, in: transaction)
            let announcements = try await AccountStore.announce(id, in: transaction)
            try await transaction.file(Self.event("became_creator", account, caller, [.role: Role.creator.rawValue]))
            try await transaction.set(mark)
            return (try await AccountStore.own(id, in: transaction), announcements)
        }
        guard !changed.announcements.isEmpty else { return changed.account }
        try await notice.committed(changed.announcements)
        return changed.account
    }

    /// Ends the account for good: nobody signs in with it or sees it any more, and name, address and everything else that says who it was
    /// are gone, but for the audit log. Orders and licences keep pointing at what is left. Throws as `SecondFactorService.proveAnew` does;
    /// `conflict` for the last admin.
    func delete(_ account: Account, password: String, caller: Caller) async throws(Problem) {
        try await secondFactor.proveAnew(account, password: password, caller: caller)
        let id = account.id
        let announcements = try await postgres.transaction(as: .authenticator, within: timeout) { transaction in
            _ = try await AccountProfileStore.lock(id, in: transaction)
            try await AccountAdminStore.keepAnAdmin(without: id, in: transaction)
            try await AccountProfileStore.anonymise(id, in: transaction)
            try await transaction.file(Self.event("account_deleted", account, caller, [:]))
            return try await AccountStore.announce(id, inBeats: true, in: transaction)
        }
        try await notice.committed(announcements)
    }

    private static func event(
        _ action: String, _ account: Account, _ caller: Caller, _ metadata: [AuditEvent.Detail: String]
    ) -> AuditEvent {
        AuditEvent(
            action, .account, .notice, actor: account.id, target: AuditEvent.Target(kind: "user", id: account.id), caller: caller,
            metadata: metadata)
    }
}
