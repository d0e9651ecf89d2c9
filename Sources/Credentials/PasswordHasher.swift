import Contract
import Threads

/// Hashes and verifies passwords with bcrypt, as the system's libxcrypt has it, on threads of its own that give way to all others.
///
/// A hash takes a fifth of a second at cost 12, so whatever would have to wait for more than a few is answered with `overloaded`.
public final class PasswordHasher: Sendable {
    /// What a verification found.
    public struct Verdict: Sendable, Equatable {
        public let matches: Bool
        /// Whether the password, which matches, is to be hashed anew and stored: the hash has another cost or an older form.
        public let needsRehash: Bool
    }

    private let cost: Int
    private let threads: HashingThreads

    /// `cost` is the binary logarithm of the rounds, 4 to 15 (others are taken as the nearest); `waiting` bounds the hashes that wait
    /// for a thread. Throws where the system gives no thread.
    public init(cost: Int = 12, threads: Int = 1, waiting: Int = 32) throws(ThreadRefusal) {
        self.cost = min(max(cost, BcryptHash.costs.lowerBound), BcryptHash.costs.upperBound)
        self.threads = try HashingThreads(threads: max(1, threads), waiting: waiting)
    }

    deinit { threads.close() }

    /// Hashes that wait for a thread.
    public var waiting: Int { threads.waiting }

    /// The hash to store, `$2b$` with this hasher's cost. The password has passed `PasswordRules`. Throws `overloaded`; `internal` for a
    /// password that bcrypt would not read whole.
    public func hash(_ password: String) async throws(Problem) -> String {
        guard Self.isReadWhole(password) else { throw .unexpected }
        let cost = cost
        guard let hash = try await threads.run({ $0.newHash(password, cost: cost) }) else { throw .unexpected }
        return hash
    }

    /// Whether `stored`, of the form `$2a$`, `$2b$` or `$2y$`, is the hash of `password`. Whatever else is stored matches nothing. An
    /// answer of no takes as long as `verifyNothing`, also where the stored hash is cheaper. Throws `overloaded`.
    public func verify(_ password: String, against stored: String) async throws(Problem) -> Verdict {
        guard let known = BcryptHash(stored), Self.isReadWhole(password) else {
            try await verifyNothing(password)
            return Verdict(matches: false, needsRehash: false)
        }
        let cost = cost
        let matches = try await threads.run { workspace in
            let computed = workspace.hash(password, setting: known.text) ?? ""
            if ConstantTime.equals(computed.utf8, known.text.utf8) { return true }
            // 2^k + 2^k + 2^(k+1) + ... + 2^(n-1) = 2^n
            for missing in known.cost..<max(cost, known.cost) { workspace.toil(password, cost: missing) }
            return false
        }
        return Verdict(matches: matches, needsRehash: matches && (known.cost != cost || !known.isCurrentForm))
    }

    /// Does the work of one verification for an account that is not there, so that time does not tell. Throws `overloaded`.
    public func verifyNothing(_ password: String) async throws(Problem) {
        let cost = cost
        try await threads.run { $0.toil(password, cost: cost) }
    }

    /// bcrypt reads 72 bytes, and stops at a zero.
    private static func isReadWhole(_ password: String) -> Bool {
        password.utf8.count <= BcryptHash.longestPassword && !password.utf8.contains(0)
    }
}
