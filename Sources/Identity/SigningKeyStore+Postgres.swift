import Contract
import Credentials
import DataPlane
import PostgresClient

/// Why the signing keys cannot be used.
public enum SigningKeyError: Error, Sendable {
    case problem(Problem)
    /// The key that signs now, or every key, was sealed with another `identity.secret`.
    case sealed(id: String)
}

/// The keys in `signing_keys`. The clock that says which of them signs and which still count is the database's alone.
struct SigningKeyStore: Sendable {
    let postgres: PostgresAccess
    let seal: Seal
    let timeout: Duration

    /// The keys whose tokens count, now or soon.
    struct Loaded: Sendable {
        let keys: [SigningKey]
        /// The one that signs.
        let active: String
        /// Those that do not open, and do not sign.
        let unopened: [String]
    }

    private struct Row: Sendable {
        let id: String
        let sealed: [UInt8]
        let isActive: Bool
    }

    // The one that signs comes first: of those that may by now, the last to be allowed to.
    private static let select = PostgresStatement<Row>(
        """
        SELECT kid, sealed_private, active_from <= now() FROM signing_keys
        WHERE algorithm = 'ES256' AND (retired_at IS NULL OR retired_at > now())
        ORDER BY active_from <= now() DESC, active_from DESC, kid
        """
    ) { row throws(PostgresError) in Row(id: try row.text(0), sealed: try row.bytes(1), isActive: try row.bool(2)) }

    /// Nil where no key may sign: there never was one. Throws `sealed`; `storeUnavailable` or `overloaded`.
    func load() async throws(SigningKeyError) -> Loaded? {
        let rows: [Row]
        do throws(Problem) { rows = try await postgres.rows(Self.select, [], as: .authenticator, within: timeout) } catch {
            throw .problem(error)
        }
        guard let active = rows.first, active.isActive else { return nil }
        var (keys, unopened): ([SigningKey], [String]) = ([], [])
        for row in rows {
            if let bytes = try? seal.open(row.sealed, at: row.id), let key = SigningKey(privateBytes: bytes), key.id == row.id {
                keys.append(key)
            } else {
                unopened.append(row.id)
            }
        }
        guard keys.first?.id == active.id else { throw .sealed(id: active.id) }
        return Loaded(keys: keys, active: active.id, unopened: unopened)
    }

    // MARK: Making

    // "signing" in ASCII: makers of keys take turns.
    private static let lock = PostgresStatement<Void>("SELECT pg_advisory_xact_lock(x'7369676e696e67'::bigint)")

    private static let isThereOne = PostgresStatement<Bool>(
        "SELECT EXISTS (SELECT FROM signing_keys WHERE active_from <= now() AND (retired_at IS NULL OR retired_at > now()))"
    ) { row throws(PostgresError) in try row.bool(0) }

    private static let insert = PostgresStatement<Timestamp>(
        """
        INSERT INTO signing_keys (kid, algorithm, sealed_private, public_jwk, active_from)
        VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5)) RETURNING active_from
        """
    ) { row throws(PostgresError) in Timestamp(microseconds: try row.timestampMicroseconds(0)) }

    private static let retireOthers = PostgresStatement<Void>(
        "UPDATE signing_keys SET retired_at = now() + make_interval(secs => $2) WHERE kid <> $1 AND (retired_at IS NULL OR $2 = 0)")

    private static let forgetRetired = PostgresStatement<Void>("DELETE FROM signing_keys WHERE retired_at <= now()")

    /// Makes a key that signs at once, unless there is one that signs.
    func makeFirst() async throws(Problem) {
        let key = SigningKey()
        let parameters = try parameters(key, delay: .zero)
        try await postgres.transaction(as: .system, within: timeout) { transaction in
            try await transaction.execute(Self.lock)
            if try await transaction.query(Self.isThereOne).first == true { return }
            _ = try await transaction.query(Self.insert, parameters)
        }
    }

    /// Makes a key that signs after `delay`, and has all others count for `overlap` more; those past their time are forgotten.
    func rotate(delay: Duration, overlap: Duration) async throws(Problem) -> (id: String, activeFrom: Timestamp) {
        let key = SigningKey()
        let parameters = try parameters(key, delay: delay)
        let activeFrom = try await postgres.transaction(as: .system, within: timeout) { transaction in
            try await transaction.execute(Self.lock)
            let activeFrom = try await transaction.query(Self.insert, parameters).first
            try await transaction.execute(Self.retireOthers, [.text(key.id), .double(overlap.inSeconds)])
            try await transaction.execute(Self.forgetRetired)
            return activeFrom
        }
        guard let activeFrom else { throw .unexpected }
        return (key.id, activeFrom)
    }

    private func parameters(_ key: SigningKey, delay: Duration) throws(Problem) -> [PostgresValue] {
        guard let sealed = try? seal.seal(key.privateBytes, at: key.id) else { throw .unexpected }
        return [.text(key.id), .text(SigningKey.algorithm), .bytes(sealed), .json(key.publicJWK), .double(delay.inSeconds)]
    }
}
