import Contract
import Credentials
import DataPlane
import Synchronization

/// The keys that access tokens are signed with: made at the first start, read anew each minute, rotated without a logout.
///
/// A new key stands in the key set for two intervals before it signs, so that every instance, and everybody who keeps the key set as
/// long as its answer allows, knows it by then. An old one stays until the last token that it signed has expired.
public final class SigningKeyService: Sendable {
    /// How often keys are read anew. All instances have the same.
    public static let interval = Duration.seconds(60)

    private let store: SigningKeyStore
    private let tokens: AccessTokens
    private let observer: any Observer
    private let interval: Duration
    private let published = Mutex<CachedBody?>(nil)
    /// Tokens may name any key, so keys are read for an unknown one at most once a second, and for all who ask together.
    private let learned = PageCache<Int, Bool>(capacity: 1, lifetime: .seconds(1))

    public init(
        postgres: PostgresAccess, secret: IdentitySecret, tokens: AccessTokens, observer: any Observer,
        interval: Duration = SigningKeyService.interval, timeout: Duration = .seconds(1)
    ) {
        store = SigningKeyStore(postgres: postgres, seal: secret.seal(for: .signingKeys), timeout: timeout)
        self.tokens = tokens
        self.observer = observer
        self.interval = interval
    }

    /// The key set (RFC 7517 §5) as JSON; nil until keys were read for the first time.
    var keySet: CachedBody? { published.withLock { $0 } }

    /// Reads the keys, and makes the first one where there is none.
    public func reload() async throws(SigningKeyError) {
        var loaded = try await store.load()
        if loaded == nil {
            do throws(Problem) { try await store.makeFirst() } catch { throw .problem(error) }
            loaded = try await store.load()
        }
        guard let loaded else { throw .problem(.unexpected) }
        if !loaded.unopened.isEmpty {
            observer.observe(
                .unexpectedError(id: nil, detail: "signing keys of another identity.secret: \(loaded.unopened.joined(separator: ", "))"))
        }
        await tokens.use(loaded.keys, active: loaded.active)
        let json = #"{"keys":["# + loaded.keys.map(\.publicJWK).joined(separator: ",") + "]}"
        let body = CachedBody(version: Int64(loaded.keys.count), json: Array(json.utf8))
        published.withLock { $0 = body }
    }

    /// Reads the keys because a token names one that is not known, unless that was done within the last second. Throws
    /// `storeUnavailable`, `overloaded` or `internal`.
    func learn() async throws(Problem) {
        _ = try await learned.value(for: 0) { () throws(Problem) in
            try await self.reloadOrProblem()
            return true
        }
    }

    private func reloadOrProblem() async throws(Problem) {
        do throws(SigningKeyError) { try await reload() } catch {
            switch error {
            case .problem(let problem): throw problem
            case .sealed(let id):
                observer.observe(.unexpectedError(id: nil, detail: "the signing key \(id) is of another identity.secret"))
                throw .unexpected
            }
        }
    }

    /// Reads the keys every interval, and each second until that succeeds for the first time, until it is cancelled.
    public func run() async {
        while !Task.isCancelled {
            do throws(Problem) { try await reloadOrProblem() } catch {
                // The store's own observer has heard of it; tokens of known keys go on being verified.
            }
            do { try await Task.sleep(for: keySet == nil ? min(interval, .seconds(1)) : interval) } catch { return }
        }
    }

    /// Makes a new key that signs after two intervals, while the others stay until the last of their tokens has expired: nobody is
    /// logged out. `atOnce` is for a key that has leaked, or a secret that is lost: the others count for nothing from now on, which
    /// every instance knows within an interval, and clients refresh.
    public func rotate(atOnce: Bool) async throws(Problem) -> (id: String, activeFrom: Timestamp) {
        let delay = atOnce ? Duration.zero : interval * 2
        // An instance changes over within an interval of the moment that the new key may sign from.
        let overlap = atOnce ? Duration.zero : delay + interval + tokens.lifetime + .seconds(AccessTokens.leeway)
        return try await store.rotate(delay: delay, overlap: overlap)
    }
}
