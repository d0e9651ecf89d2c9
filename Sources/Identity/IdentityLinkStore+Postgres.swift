import Contract
import DataPlane
import Mail
import PostgresClient

/// Identities elsewhere, and the accounts that they belong to. All of it is the sign-in desk's work.
struct IdentityLinkStore: Sendable {
    let postgres: PostgresAccess
    let timeout: Duration

    // MARK: Looking up

    private static let select = PostgresStatement<(IdentityKey, LinkedAccount)>(
        """
        SELECT identity.issuer, identity.subject, users.id, users.status, coalesce(account.email_verified_at IS NOT NULL, false),
               ARRAY(SELECT role FROM user_roles WHERE user_roles.user_id = users.id)
        FROM unnest($1::text[], $2::text[]) AS wanted (issuer, subject)
        JOIN user_identities AS identity ON identity.issuer = wanted.issuer AND identity.subject = wanted.subject
        JOIN users ON users.id = identity.user_id
        LEFT JOIN user_accounts AS account ON account.user_id = users.id
        """
    ) { row throws(PostgresError) in
        (
            IdentityKey(issuer: try row.text(0), subject: try row.text(1)),
            LinkedAccount(
                id: EntityID(rawValue: try row.uuid(2)), status: AccountStatus(rawValue: try row.text(3)) ?? .suspended,
                roles: Roles(try row.texts(5).compactMap { Role(rawValue: $0) }), isVerified: try row.bool(4))
        )
    }

    /// The accounts of those of `keys` that are known. Throws `storeUnavailable` or `overloaded`.
    func accounts(_ keys: [IdentityKey]) async throws(Problem) -> [IdentityKey: LinkedAccount] {
        let rows = try await postgres.rows(
            Self.select, [.texts(keys.map(\.issuer)), .texts(keys.map(\.subject))], as: .authenticator, within: timeout)
        return Dictionary(rows) { first, _ in first }
    }

    // MARK: The first sight of an identity

    enum FirstSight: Sendable {
        /// Somebody else was faster.
        case known(LinkedAccount)
        /// Joined to an account with the same verified address.
        case joined(LinkedAccount)
        /// A new account was made for it.
        case made(LinkedAccount, [Announcement])

        var account: LinkedAccount {
            switch self {
            case .known(let account), .joined(let account), .made(let account, _): account
            }
        }
    }

    /// What another transaction has taken meanwhile: the identity, its address or the username. Trying again finds it there.
    static let outrun = Problem(.conflict, "Somebody else was faster.")
    private static let refusals = [
        "user_identities_pkey": outrun, "user_accounts_email_key": outrun, "users_username_key": outrun,
    ]

    private static let freeUsername = PostgresStatement<String>(
        """
        WITH wanted AS MATERIALIZED (
            SELECT name, lower(name) AS key, place FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
        )
        SELECT name FROM wanted
        WHERE NOT EXISTS (SELECT FROM users WHERE username_key = key)
          AND NOT EXISTS (SELECT FROM held_usernames WHERE username = key AND held_until > now())
        ORDER BY place LIMIT 1
        """
    ) { row throws(PostgresError) in try row.text(0) }

    private static let insertAccount = PostgresStatement<Void>(
        """
        WITH account AS (INSERT INTO users (id, username, display_name) VALUES ($1, $2, $3)),
             private AS (
                 INSERT INTO user_accounts (user_id, email, email_verified_at)
                 VALUES ($1, $4, CASE WHEN $4::text IS NOT NULL THEN now() END)),
             role AS (INSERT INTO user_roles (user_id, role) VALUES ($1, 'user'))
        INSERT INTO user_profiles (user_id) VALUES ($1)
        """)
    // Nobody has shown that the address was that account's, and now somebody has shown that it is theirs.
    private static let takeAddress = PostgresStatement<Void>(
        "UPDATE user_accounts SET email = NULL, version = version + 1, updated_at = now() WHERE user_id = $1 AND email_verified_at IS NULL")
    private static let insertIdentity = PostgresStatement<Void>(
        "INSERT INTO user_identities (issuer, subject, user_id, email) VALUES ($1, $2, $3, $4)")

    /// Finds, joins or makes the account of an identity in one transaction, and files what `events` makes of that. Throws `outrun`; `accountSuspended` where the account that it
    /// would be joined to is; `storeUnavailable` or `overloaded`.
    func firstSight(
        of identity: ForeignIdentity, usernames: [String], filing events: @Sendable (FirstSight) -> [AuditEvent]
    ) async throws(Problem) -> FirstSight {
        try await postgres.transaction(as: .authenticator, within: timeout, refusals: Self.refusals) { transaction in
            // No closure of its own: Swift 6.3.1 miscompiles some that keep larger structures across an await.
            try await Self.see(identity, usernames: usernames, filing: events, in: transaction)
        }
    }

    private static func see(
        _ identity: ForeignIdentity, usernames: [String], filing events: @Sendable (FirstSight) -> [AuditEvent],
        in transaction: PostgresTransaction
    ) async throws -> FirstSight {
        let sight = try await see(identity, usernames: usernames, in: transaction)
        try await transaction.file(events(sight))
        return sight
    }

    private static func see(
        _ identity: ForeignIdentity, usernames: [String], in transaction: PostgresTransaction
    ) async throws -> FirstSight {
        if let account = try await account(identity.key, in: transaction) { return .known(account) }
        var address = identity.isEmailVerified ? identity.email?.description : nil
        if let email = address {
            // One first sight or registration of an address after the other.
            try await transaction.execute(AccountStore.lockAddress, [.text(email)])
            if let holder = try await transaction.query(AccountStore.byEmail, [.text(email)]).first {
                if let account = try await join(identity, to: holder, in: transaction) { return .joined(account) }
                if holder.status == .pending, !holder.isEmailVerified {
                    try await transaction.execute(takeAddress, [.uuid(holder.id.rawValue)])
                } else {
                    address = nil
                }
            }
        }
        guard let username = try await transaction.query(freeUsername, [.texts(usernames)]).first else { throw outrun }
        let id = EntityID.now
        try await transaction.execute(
            insertAccount,
            [
                .uuid(id.rawValue), .text(username), text(UsernameChoice.displayName(identity.displayName)), text(address),
            ])
        try await insert(identity, for: id, in: transaction)
        let changes = try await AccountStore.announce(id, in: transaction)
        return .made(LinkedAccount(id: id, status: .active, roles: .user, isVerified: address != nil), changes)
    }

    private static func account(_ key: IdentityKey, in transaction: PostgresTransaction) async throws -> LinkedAccount? {
        try await transaction.query(select, [.texts([key.issuer]), .texts([key.subject])]).first?.1
    }

    private static func text(_ text: String?) -> PostgresValue { text.map(PostgresValue.text) ?? .null }

    /// Nil where the holder of the address is nobody that the identity may be joined to: see `IdentityLinks`.
    private static func join(
        _ identity: ForeignIdentity, to holder: AccountStore.Known, in transaction: PostgresTransaction
    ) async throws -> LinkedAccount? {
        guard holder.isEmailVerified, holder.status != .deleted else { return nil }
        guard holder.status != .suspended else { throw Problem.accountSuspended }
        try await insert(identity, for: holder.id, in: transaction)
        return try await account(identity.key, in: transaction)
    }

    private static func insert(_ identity: ForeignIdentity, for user: EntityID, in transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            insertIdentity,
            [
                .text(identity.key.issuer), .text(identity.key.subject), .uuid(user.rawValue), text(identity.email?.description),
            ])
    }

    // MARK: By wish of the account

    private static let owner = PostgresStatement<EntityID>("SELECT user_id FROM user_identities WHERE issuer = $1 AND subject = $2") {
        row throws(PostgresError) in EntityID(rawValue: try row.uuid(0))
    }

    /// Joins an identity to an account, as often as it likes, and files `event`. False where it belongs to another account.
    func link(_ identity: ForeignIdentity, to user: EntityID, filing event: AuditEvent) async throws(Problem) -> Bool {
        do throws(Problem) {
            return try await postgres.transaction(as: .authenticator, within: timeout, refusals: Self.refusals) { transaction in
                guard try await Self.give(identity, to: user, in: transaction) else { return false }
                try await transaction.file(event)
                return true
            }
        } catch {
            guard error == Self.outrun else { throw error }
            // The row is there by now, and says whose it is.
            return try await link(identity, to: user, filing: event)
        }
    }

    private static func give(
        _ identity: ForeignIdentity, to user: EntityID, in transaction: PostgresTransaction
    ) async throws -> Bool {
        let holder = try await transaction.query(owner, [.text(identity.key.issuer), .text(identity.key.subject)]).first
        if holder == nil { try await insert(identity, for: user, in: transaction) }
        return holder == nil || holder == user
    }

    enum Unlinking: Sendable {
        case done, nothingThere, lastWayIn
    }

    // One change of an account's ways in after the other: two that each leave the other's way must not both succeed.
    private static let lock = PostgresStatement<Void>("SELECT FROM users WHERE id = $1 FOR UPDATE")
    private static let ways = PostgresStatement<(here: Int64, elsewhere: Int64, hasPassword: Bool)>(
        """
        SELECT count(*) FILTER (WHERE issuer = $2), count(*) FILTER (WHERE issuer <> $2),
               EXISTS (SELECT FROM user_credentials WHERE user_id = $1)
        FROM user_identities WHERE user_id = $1
        """
    ) { row throws(PostgresError) in (try row.int64(0), try row.int64(1), try row.bool(2)) }
    private static let delete = PostgresStatement<Void>("DELETE FROM user_identities WHERE user_id = $1 AND issuer = $2")

    /// Takes the identities at `issuer` from an account that has another way in, and files `event`.
    func unlink(issuer: String, from user: EntityID, filing event: AuditEvent) async throws(Problem) -> Unlinking {
        let parameters: [PostgresValue] = [.uuid(user.rawValue), .text(issuer)]
        return try await postgres.transaction(as: .authenticator, within: timeout) { transaction in
            try await transaction.execute(Self.lock, [.uuid(user.rawValue)])
            guard let ways = try await transaction.query(Self.ways, parameters).first, ways.here > 0 else { return .nothingThere }
            guard ways.elsewhere > 0 || ways.hasPassword else { return .lastWayIn }
            try await transaction.execute(Self.delete, parameters)
            try await transaction.file(event)
            return .done
        }
    }

    private static let issuers = PostgresStatement<String>("SELECT DISTINCT issuer FROM user_identities WHERE user_id = $1") {
        row throws(PostgresError) in try row.text(0)
    }

    /// The issuers at which an account has an identity, read as that account.
    func issuers(of account: Account) async throws(Problem) -> Set<String> {
        Set(
            try await postgres.rows(
                Self.issuers, [.uuid(account.id.rawValue)], as: PostgresSettings(.account(account)), within: timeout))
    }
}
