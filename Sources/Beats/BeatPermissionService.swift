import Contract
import DataPlane

/// Shares beats that are not everybody's: the owner invites, the invited accept, either ends it. Each change is accounted for.
public final class BeatPermissionService: Sendable {
    /// Accounts that one beat can be shared with.
    static let mostOfBeat = 100

    private let store: BeatPermissionStore
    private let accounts: any CreatorDirectory

    public init(postgres: PostgresAccess, accounts: any CreatorDirectory, timeout: Duration = .seconds(2)) {
        store = BeatPermissionStore(postgres: postgres, timeout: timeout)
        self.accounts = accounts
    }

    /// All of a beat, for its owner. Throws `notFound` where the account may not see the beat, `forbidden` where it is another's;
    /// `storeUnavailable` or `overloaded`.
    func permissions(of beat: EntityID, for account: Account) async throws(Problem) -> [BeatPermission] {
        guard let owner = try await store.owner(of: beat, for: account) else { throw .notFound("beat") }
        guard owner == account.id else { throw .forbidden }
        return try await store.permissions(of: beat, limit: Self.mostOfBeat, for: account)
    }

    /// Invites an account, named by its id or its username. Throws `notFound` or `forbidden` as `permissions(of:for:)` does, `invalid`
    /// where there is no such account or it is the owner's own, `conflict` where it was invited before or the beat is shared with too
    /// many; `storeUnavailable` or `overloaded`. Where the request of `claim` was carried out before, answers what has become of the
    /// invitation, or throws `notFound`.
    func invite(
        _ person: String, as level: BeatPermission.Level, to beat: EntityID, claim: IdempotencyClaim? = nil, by account: Account,
        caller: Caller
    ) async throws(Problem) -> BeatPermission {
        // Before anything is said of the account: whoever does not own the beat learns nothing here.
        guard let owner = try await store.owner(of: beat, for: account) else { throw .notFound("beat") }
        guard owner == account.id else { throw .forbidden }
        guard let id = try await accounts.account(person, bypassingCache: true) else { throw .invalid([.init("user", "is no account")]) }
        guard id != account.id else { throw .invalid([.init("user", "is the owner of this beat")]) }
        if claim?.isCarriedOut == true {
            guard let made = try await store.permission(of: id, for: beat, as: account) else { throw .notFound("invitation") }
            return made
        }
        let event = Self.event("beat_permission_offered", beat, account, caller, level.rawValue, id)
        return try await store.invite(
            id, as: level, to: beat, most: Self.mostOfBeat, IdempotencyMark(claim), by: account, filing: event)
    }

    /// Accepts the account's invitation; accepting twice changes nothing. Throws `notFound` where there is none; `storeUnavailable` or
    /// `overloaded`. Where the request of `claim` was carried out before, an invitation that is there is another, and stays open.
    func accept(
        _ beat: EntityID, claim: IdempotencyClaim? = nil, for account: Account, caller: Caller
    ) async throws(Problem) -> BeatPermission {
        let permission =
            if claim?.isCarriedOut == true {
                try await store.permission(of: account.id, for: beat, as: account)
            } else {
                try await store.accept(beat, IdempotencyMark(claim), for: account) { permission in
                    Self.event("beat_permission_accepted", beat, account, caller, permission.level.rawValue, account.id)
                }
            }
        guard let permission else { throw .notFound("invitation") }
        return permission
    }

    /// Ends a permission or withdraws an invitation: the owner anybody's, everybody else the own one. Throws `notFound` where there is
    /// nothing that the account may end; `storeUnavailable` or `overloaded`.
    func remove(_ person: EntityID, from beat: EntityID, by account: Account, caller: Caller) async throws(Problem) {
        let isRemoved = try await store.remove(person, from: beat, by: account) { wasAccepted in
            Self.event("beat_permission_removed", beat, account, caller, wasAccepted ? "accepted" : "invited", person)
        }
        guard isRemoved else { throw .notFound("permission") }
    }

    private static func event(
        _ action: String, _ beat: EntityID, _ account: Account, _ caller: Caller, _ permission: String, _ person: EntityID
    ) -> AuditEvent {
        AuditEvent(
            action, .permission, .notice, actor: account.id, target: .init(kind: "beat", id: beat), caller: caller,
            metadata: [.permission: permission, .name: person.description])
    }

    // MARK: Of one account

    /// Names the order in cursors.
    private static let order: UInt64 = 2

    /// A page of what an account was given, the newest first. Throws `invalidCursor`, `storeUnavailable` or `overloaded`.
    func page(_ request: PageRequest, for account: Account) async throws(Problem) -> ListPage<BeatPermission> {
        let position = try request.moment(of: Self.order)
        let total = try await store.count(for: account)
        let found = try await store.permissions(after: position, offset: request.offset, limit: request.limit + 1, for: account)
        return ListPage(cutting: found, of: request, total: ListTotal(counted: total)) { permission in
            Cursor(order: Self.order, value: .integer(permission.createdAt.microseconds), id: permission.beat)
        }
    }
}
