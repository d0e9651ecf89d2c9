import Contract
import PostgresClient

/// The right to do a piece of work alone, for as long as its holder renews it.
public struct Lease: Sendable {
    public let name: String
    /// 32 hexadecimal digits of this holding's own.
    public let holder: String
}

/// Has one process among all do a piece of work: a row in Postgres that runs out by itself where its holder dies, so that it holds
/// through any pooler of connections, and nobody has to be asked to give it back.
///
/// A holder that was frozen may think that it still holds what has passed on. Whoever must not be wrong about that fences what it writes.
public struct LeaseStore: Sendable {
    /// How long a lease lasts that is not renewed, and how often it is.
    static let lifetime: Int64 = 15
    private static let renewal = Duration.seconds(3)

    private let postgres: PostgresAccess
    private let timeout = Duration.seconds(5)

    public init(postgres: PostgresAccess) { self.postgres = postgres }

    private static let take = PostgresStatement<Bool>(
        """
        INSERT INTO leases (name, holder, held_until) VALUES ($1, $2, now() + $3::bigint * interval '1 second')
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
        WHERE leases.held_until < now() OR leases.holder = excluded.holder
        RETURNING true
        """
    ) { row throws(PostgresError) in try row.bool(0) }

    private static let end = PostgresStatement<Void>("UPDATE leases SET held_until = '-infinity' WHERE name = $1 AND holder = $2")

    private static let standing = PostgresStatement<String>("SELECT concat_ws(' ', holder, held_until) FROM leases WHERE name = $1") {
        row throws(PostgresError) in try row.text(0)
    }

    /// Does `body` while nobody else does work of this name; nil, and nothing done, where somebody does. With `isPatient`, a holder that
    /// no longer renews its lease is outlived. Throws what `body` throws; `storeUnavailable` or `overloaded`.
    public func hold<Value: Sendable>(
        _ name: String, isPatient: Bool = false, _ body: @Sendable (Lease) async throws(Problem) -> Value
    ) async throws(Problem) -> Value? {
        let lease = Lease(name: name, holder: RequestID().description + RequestID().description)
        guard isPatient ? try await outlive(lease) : try await renew(lease) else { return nil }
        let renewing = Task { await renewUntilCancelled(lease) }
        let outcome: Result<Value, Problem>
        do throws(Problem) { outcome = .success(try await body(lease)) } catch { outcome = .failure(error) }
        renewing.cancel()
        // A renewal that came after it would take back what is given back.
        await renewing.value
        await give(back: lease)
        return try outcome.get()
    }

    /// Whether the lease is still, or again, this holder's. Throws `storeUnavailable` or `overloaded`.
    public func renew(_ lease: Lease) async throws(Problem) -> Bool {
        try await postgres.rows(
            Self.take, [.text(lease.name), .text(lease.holder), .int64(Self.lifetime)], as: .system, within: timeout
        ).first ?? false
    }

    private func renewUntilCancelled(_ lease: Lease) async {
        // Cancelled, the wait ends at once, and so does the loop; a renewal under way is finished. One that fails is tried again before the
        // lease has run out.
        while (try? await Task.sleep(for: Self.renewal)) != nil { _ = try? await Task { try await renew(lease) }.value }
    }

    /// Takes the lease once its holder has let it run out; false where it sees him renew it.
    private func outlive(_ lease: Lease) async throws(Problem) -> Bool {
        var seen: String?
        while try await !renew(lease) {
            let standing = try await postgres.rows(Self.standing, [.text(lease.name)], as: .system, within: timeout).first
            if let seen, standing != seen { return false }
            seen = standing
            // The holder renews, or the lease runs out: whichever comes first. Cancelled, there is nothing left to wait for.
            guard (try? await Task.sleep(for: .milliseconds(250))) != nil else { return false }
        }
        return true
    }

    /// Where that fails, the lease runs out by itself.
    private func give(back lease: Lease) async {
        _ = try? await postgres.rows(Self.end, [.text(lease.name), .text(lease.holder)], as: .system, within: timeout)
    }
}
