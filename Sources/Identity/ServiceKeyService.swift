import Contract
import Credentials
import DataPlane

/// Makes, lists and revokes service keys, and says what a presented one may do. Revoked and expired ones are none from the next
/// request on.
public final class ServiceKeyService: Sendable {
    private let store: ServiceKeyStore
    private let access: BatchLoader<[UInt8], ServiceAccess>

    public init(postgres: PostgresAccess, observer: any Observer, timeout: Duration = .seconds(2)) {
        let store = ServiceKeyStore(postgres: postgres, timeout: timeout)
        self.store = store
        access = BatchLoader(kind: "service_key", observer: observer) { digests throws(Problem) in try await store.use(digests) }
    }

    /// Throws `unauthenticated` where `secret` is no key, or none any more; `storeUnavailable` or `overloaded`.
    func access(_ secret: String) async throws(Problem) -> ServiceAccess {
        guard let secret = ServiceKeySecret(presented: secret), let access = try await access.value(for: secret.digest) else {
            throw .unauthenticated
        }
        return access
    }

    /// Makes a key on the command line, for which there need not be an account yet. Answers its secret, which is nowhere else.
    public func create(_ order: ServiceKeyOrder) async throws(Problem) -> String {
        try await create(order, by: nil, caller: nil).secret
    }

    /// Makes a key and answers its secret, which is nowhere else. Throws `storeUnavailable` or `overloaded`.
    func create(_ order: ServiceKeyOrder, by admin: Account?, caller: Caller?) async throws(Problem) -> (key: ServiceKey, secret: String) {
        let secret = ServiceKeySecret()
        let id = EntityID.now
        let event = AuditEvent(
            "service_key_created", .key, .notice, actor: admin?.id, target: .init(kind: "service_key", id: id), caller: caller,
            metadata: [.name: order.name, .scopes: order.scopes.map(\.rawValue).sorted().joined(separator: " ")])
        let key = try await store.create(id, order, digest: secret.digest, creator: admin, filing: event)
        return (key, secret.text)
    }

    /// Throws `notFound` where there is no such key, or none any more; `storeUnavailable` or `overloaded`.
    func revoke(_ id: EntityID, by admin: Account, caller: Caller) async throws(Problem) {
        let isRevoked = try await store.revoke(id, by: admin) { name in
            AuditEvent(
                "service_key_revoked", .key, .notice, actor: admin.id, target: .init(kind: "service_key", id: id), caller: caller,
                metadata: [.name: name])
        }
        guard isRevoked else { throw .notFound("service key") }
    }

    /// Names the order in cursors.
    private static let order: UInt64 = 1

    /// One page of keys, the newest first, with those that are revoked or expired. Throws `invalidCursor`, `storeUnavailable` or
    /// `overloaded`.
    func page(_ request: PageRequest, for admin: Account) async throws(Problem) -> ListPage<ServiceKey> {
        let keys = try await store.page(
            after: request.moment(of: Self.order), offset: request.offset, limit: request.limit + 1, for: admin)
        return ListPage(cutting: keys, of: request, total: ListTotal(counted: try await store.count(for: admin))) { key in
            Cursor(order: Self.order, value: .integer(key.createdAt.microseconds), id: key.id)
        }
    }
}
