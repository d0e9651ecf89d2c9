import Contract
import DataPlane
import PostgresClient

/// What admins do with accounts. Postgres lets only them, and every act is accounted for. Where the request of a `claim` was carried out
/// before, nothing is done, and the answer is the account as it is now.
public struct AccountAdminService: Sendable {
    private let postgres: PostgresAccess
    private let store: AccountAdminStore
    private let notice: CommitNotice
    private let timeout: Duration

    public init(postgres: PostgresAccess, notice: CommitNotice, timeout: Duration = .seconds(5)) {
        self.postgres = postgres
        self.notice = notice
        self.timeout = timeout
        store = AccountAdminStore(postgres: postgres, timeout: timeout)
    }

    /// Throws `invalidCursor`, `storeUnavailable` or `overloaded`.
    func list(_ filter: AccountFilter, _ page: PageRequest, as admin: Account) async throws(Problem) -> ListPage<AccountEntry> {
        try await store.list(filter, page, as: PostgresSettings(.account(admin)))
    }

    /// Ends every session of the account at once and keeps it from signing in; its profile and its beats are no longer shown. Throws
    /// `notFound`; `conflict` for oneself, for the last admin, and where it is suspended or deleted already; `storeUnavailable` or
    /// `overloaded`.
    func suspend(
        _ id: EntityID, reason: String, claim: IdempotencyClaim? = nil, by admin: Account, caller: Caller
    ) async throws(Problem) -> AccountEntry {
        guard id != admin.id else { throw Problem(.conflict, "Nobody suspends themselves.") }
        let event = Self.event("account_suspended", .admin, id, admin, caller, [.reason: reason])
        return try await change(id, claim, by: admin, event) { entry, transaction in
            guard entry.status != .suspended, entry.status != .deleted else {
                throw Problem(.conflict, "The account is \(entry.status.rawValue) already.")
            }
            try await AccountAdminStore.keepAnAdmin(without: id, in: transaction)
            try await AccountAdminStore.suspend(id, reason: reason, in: transaction)
            try await AccountStore.endSessions(of: id, because: .suspended, in: transaction)
            return true
        }
    }

    /// Takes a suspension back: the account stands as it did before, or is active where its address was verified meanwhile. Sessions that
    /// were ended stay ended. Throws `notFound`, `conflict` where there is none; `storeUnavailable` or `overloaded`.
    func unsuspend(
        _ id: EntityID, claim: IdempotencyClaim? = nil, by admin: Account, caller: Caller
    ) async throws(Problem) -> AccountEntry {
        let event = Self.event("account_unsuspended", .admin, id, admin, caller, [:])
        return try await change(id, claim, by: admin, event) { entry, transaction in
            guard entry.status == .suspended else { throw Problem(.conflict, "The account is not suspended.") }
            try await AccountAdminStore.unsuspend(id, in: transaction)
            return true
        }
    }

    /// Gives the account a role; where it has it, nothing is done. Throws `notFound`, `conflict` where the account is deleted; `storeUnavailable` or
    /// `overloaded`.
    func grant(
        _ role: Role, to id: EntityID, claim: IdempotencyClaim? = nil, by admin: Account, caller: Caller
    ) async throws(Problem) -> AccountEntry {
        let event = Self.event("role_granted", .role, id, admin, caller, [.role: role.rawValue])
        return try await change(id, claim, by: admin, event) { entry, transaction in
            guard entry.status != .deleted else { throw Problem(.conflict, "The account is deleted.") }
            if entry.roles.contains(Roles(role)), role != .creator || entry.isCreator { return nil }
            try await AccountAdminStore.grant(role, to: id, by: admin.id, in: transaction)
            return role == .creator
        }
    }

    /// Takes a role from the account. Throws `notFound` where it has no such role; `conflict` for the role that every account has, and for
    /// the last admin's; `storeUnavailable` or `overloaded`.
    func revoke(_ role: Role, from id: EntityID, by admin: Account, caller: Caller) async throws(Problem) -> AccountEntry {
        guard role != .user else { throw Problem(.conflict, "Every account is a user.") }
        let event = Self.event("role_revoked", .role, id, admin, caller, [.role: role.rawValue])
        return try await change(id, nil, by: admin, event) { entry, transaction in
            guard entry.roles.contains(Roles(role)) else { throw Problem.notFound("role of this user") }
            if role == .admin { try await AccountAdminStore.keepAnAdmin(without: id, in: transaction) }
            try await AccountAdminStore.revoke(role, from: id, in: transaction)
            return role == .creator
        }
    }

    /// Changes a locked account in one transaction, with the outbox rows that say so and the entry that accounts for it. `body` answers
    /// whether beats are to follow, or nil where there was nothing to do.
    private func change(
        _ id: EntityID, _ claim: IdempotencyClaim?, by admin: Account, _ event: AuditEvent,
        _ body: @Sendable (AccountEntry, PostgresTransaction) async throws -> Bool?
    ) async throws(Problem) -> AccountEntry {
        let (isCarriedOut, mark) = (claim?.isCarriedOut == true, IdempotencyMark(claim))
        let (entry, announcements) = try await postgres.transaction(as: PostgresSettings(.account(admin)), within: timeout) {
            transaction -> (AccountEntry, [Announcement]) in
            let found = try await AccountAdminStore.lock(id, in: transaction)
            // Whoever did it may have died before anybody was told.
            if isCarriedOut { return (found, AccountStore.announcements(of: id, version: found.version, inBeats: true)) }
            guard let inBeats = try await body(found, transaction) else { return (found, []) }
            let announcements = try await AccountStore.announce(id, inBeats: inBeats, in: transaction)
            try await transaction.file(event)
            try await transaction.set(mark)
            return (try await AccountAdminStore.lock(id, in: transaction), announcements)
        }
        if !announcements.isEmpty { try await notice.committed(announcements) }
        return entry
    }

    private static func event(
        _ action: String, _ category: AuditEvent.Category, _ id: EntityID, _ admin: Account, _ caller: Caller,
        _ metadata: [AuditEvent.Detail: String]
    ) -> AuditEvent {
        AuditEvent(
            action, category, .warning, actor: admin.id, target: AuditEvent.Target(kind: "user", id: id), caller: caller, metadata: metadata
        )
    }
}

/// What the command line does to accounts, for whoever runs the gateway: the first admin has nobody to ask.
public struct AccountAdminCommands: Sendable {
    private let postgres: PostgresAccess

    public init(postgres: PostgresAccess) { self.postgres = postgres }

    /// Makes the account with this address an admin, and answers its username. Throws `notFound`; `conflict` where the account is not
    /// active; `storeUnavailable` or `overloaded`.
    public func grantAdmin(email: String) async throws(Problem) -> String {
        try await postgres.transaction(as: .system, within: .seconds(10)) { transaction in
            guard let known = try await transaction.query(AccountStore.byEmail, [.text(email)]).first else {
                throw Problem.notFound("account")
            }
            guard known.status == .active else { throw Problem(.conflict, "The account is \(known.status.rawValue).") }
            try await AccountAdminStore.grant(.admin, to: known.id, by: nil, in: transaction)
            _ = try await AccountStore.announce(known.id, in: transaction)
            try await transaction.file(
                AuditEvent(
                    "role_granted", .role, .warning, target: AuditEvent.Target(kind: "user", id: known.id),
                    metadata: [.role: Role.admin.rawValue, .reason: "command line"]))
            return known.username
        }
    }
}
