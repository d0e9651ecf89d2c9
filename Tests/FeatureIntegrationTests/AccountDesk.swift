import HTTPAPI
import NIOCore
import Audit
import Contract
import Credentials
import DataPlane
import Foundation
import Mail
import PostgresClient
import RateLimits
import Synchronization
import TestSupport
import Testing

@testable import Beats
@testable import Identity

/// All that makes and changes accounts, over the databases of a test, with caches and a relay as one instance of the gateway has them.
struct AccountDesk: Sendable {
    let stack: Stack
    let session: SessionDesk
    let accounts: AccountService
    let profiles: AccountProfileService
    let admin: AccountAdminService
    let users: UserService
    let beats: BeatService
    let relay: OutboxRelay
    let standings: OutboxRelay
    let postgres: PostgresAccess
    let audit: AuditStore

    /// As in production, unless `admitsUnverified`. `batch` is how many beats follow their creator in one delivery.
    init(_ stack: Stack, admitsUnverified: Bool = false, rules: LimitRules? = nil, batch: Int = 500) async throws {
        self.stack = stack
        let recorder = stack.recorder
        let limiter = rules.map { RequestLimiter(rules: $0, redis: nil, observer: recorder) }
        let session = try await SessionDesk(stack, limiter: limiter, admitsUnverified: admitsUnverified)
        self.session = session
        let postgres = PostgresAccess(stack.postgres, observer: recorder)
        let mongo = MongoAccess(stack.mongo, observer: recorder)
        let listeners = Listeners()
        let cache = EntityCache(
            representations: [BeatService.detail, BeatService.summary, UserService.profile], redis: stack.redis,
            postgres: postgres, observer: recorder
        ) { listeners.hear($0) }
        let (users, beats) = (
            UserService(cache: cache, postgres: postgres, observer: recorder),
            BeatService(cache: cache, postgres: postgres, mongo: mongo, observer: recorder)
        )
        listeners.join { users.heard($0) }
        listeners.join { beats.heard($0) }
        let relay = OutboxRelay(
            postgres: postgres,
            projectors: [
                BeatProjector(postgres: postgres, mongo: mongo), CreatorProjector(postgres: postgres, batch: batch),
                UserProjector(postgres: postgres),
            ], cache: cache, observer: recorder)
        let watch = ProjectionWatch(postgres: postgres, observer: recorder)
        let standings = OutboxRelay(
            .standings, postgres: postgres, projectors: [CreatorStandingProjector(postgres: postgres, mongo: mongo, cache: cache)],
            cache: cache, watch: watch, observer: recorder)
        let following = CreatorFollowing(postgres: postgres, cache: cache, watch: watch, patience: .zero) { standings.poke() }
        let notice = CommitNotice(cache: cache, follower: following, observer: recorder) { relay.poke() }
        let audit = AuditStore(postgres: postgres, observer: recorder)
        var unlimited = LimitRules()
        unlimited.isEnabled = false
        accounts = AccountService(
            AccountService.Tools(
                postgres: postgres, sessions: session.sessions, hasher: session.hasher, rules: PasswordRules(common: .none),
                mails: MailQueue(seal: SessionDesk.secret.seal(for: .mails), links: MailLinks(base: "https://market.example")),
                limiter: RequestLimiter(rules: rules ?? unlimited, redis: nil, observer: recorder), audit: audit, notice: notice),
            admitsUnverified: admitsUnverified)
        profiles = AccountProfileService(postgres: postgres, secondFactor: session.secondFactor, notice: notice)
        admin = AccountAdminService(postgres: postgres, notice: notice)
        (self.users, self.beats, self.postgres, self.audit) = (users, beats, postgres, audit)
        (self.relay, self.standings) = (relay, standings)
    }

    // MARK: Doing

    @discardableResult
    func register(
        _ username: String, email: String? = nil, password: String = SessionDesk.password
    ) async throws(Problem) -> AccountService.Registered {
        guard let address = EmailAddress(email ?? SessionDesk.email(username)) else { throw .unexpected }
        return try await accounts.register(
            Registration(email: address, username: username, displayName: nil), password: password, caller: SessionDesk.caller)
    }

    /// An account of its own making, signed in.
    func signedIn(_ name: String, roles: [String] = ["user"]) async throws -> Account {
        try await session.makeAccount(name, roles: roles)
        return try await session.account(session.login(name))
    }

    func verify(_ token: String) async throws(Problem) { try await accounts.verifyAddress(token, caller: SessionDesk.caller) }

    func change(
        _ account: Account, ifVersion version: IfMatch = .any, _ edit: (inout ProfileChange) -> Void
    ) async throws(Problem) -> OwnAccount {
        var change = ProfileChange()
        edit(&change)
        return try await profiles.change(account, change, ifVersion: version)
    }

    // MARK: Looking

    /// What was mailed to an address, the newest last.
    func mails(to email: String) async throws -> [(template: String, text: String)] {
        let seal = SessionDesk.secret.seal(for: .mails)
        let rows = try await stack.owner.query(
            PostgresStatement("SELECT id, template, sealed_text FROM mails WHERE lower(recipient) = lower($1) ORDER BY id") {
                (row: borrowing PostgresRow) throws(PostgresError) in
                (EntityID(rawValue: try row.uuid(0)), try row.text(1), try row.bytes(2))
            }, [.text(email)], deadline: Stack.soon)
        return try rows.map { id, template, sealed in (template, String(decoding: try seal.open(sealed, at: "\(id)"), as: UTF8.self)) }
    }

    /// The token in the newest mail to an address.
    func token(mailedTo email: String) async throws -> String {
        let text = try #require(try await mails(to: email).last).text
        let start = try #require(text.range(of: "#token=")).upperBound
        return String(text[start...].prefix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" })
    }

    /// The JSON of a public profile; nil where nobody may see one.
    func profile(_ idOrUsername: String) async throws -> [String: Any]? {
        let body: CachedBody
        do throws(Problem) { body = try await users.profile(idOrUsername, bypassingCache: false).body } catch {
            #expect(error.code == .notFound)
            return nil
        }
        return try Self.object(body)
    }

    /// The JSON of a beat's public detail; nil where nobody may see one.
    func beat(_ id: EntityID) async throws -> [String: Any]? {
        let body: CachedBody
        do throws(Problem) { body = try await beats.beat(id, bypassingCache: false).body } catch {
            #expect(error.code == .notFound)
            return nil
        }
        return try Self.object(body)
    }

    static func object(_ body: CachedBody) throws -> [String: Any] {
        let bytes = try #require(body.bytes).readableBytesView
        return try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    }

    /// A published beat of the account's, delivered.
    func makeBeat(of creator: EntityID) async throws -> EntityID {
        let beat = EntityID.now
        try await stack.owner.run(
            """
            INSERT INTO beats (id, creator_id, title, status, published_at) VALUES ('\(beat)', '\(creator)', 'Beat', 'published', now());
            INSERT INTO beat_content_staged (beat_id, version, content) VALUES ('\(beat)', 1, '{"metadata": {"bpm": 99}}');
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(beat)', 1, 'upsert')
            """)
        return beat
    }

    /// Delivers everything but mails.
    func deliver() async throws {
        try await standings.drain(within: .seconds(20))
        try await relay.drain(within: .seconds(20))
    }

    func audited(_ action: String, of id: EntityID) async throws -> Int {
        try await stack.count("audit_log WHERE action = '\(action)' AND target_id = '\(id)'")
    }
}

/// Those who want to hear announcements.
private final class Listeners: Sendable {
    private let listeners = Mutex<[@Sendable ([Announcement]?) -> Void]>([])

    func join(_ listener: @escaping @Sendable ([Announcement]?) -> Void) { listeners.withLock { $0.append(listener) } }

    func hear(_ announcements: [Announcement]?) {
        for listener in listeners.withLock({ $0 }) { listener(announcements) }
    }
}
