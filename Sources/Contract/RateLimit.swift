/// What a request counts as, for rate limits. How many of each are allowed is configuration.
public enum RateClass: String, Sendable, CaseIterable {
    /// Answered at any rate: health and metrics.
    case unlimited
    /// A read of something that is probably cached.
    case read
    /// A read that goes past the caches or searches.
    case search
    case write
    /// Tries a password, a token or a code.
    case signIn
    /// Makes an account.
    case registration
    /// Has a mail sent.
    case recovery
}

/// What is left of a limit after a request, as the `RateLimit` fields say it.
public struct RateState: Sendable, Hashable {
    public let limit: Int
    public let remaining: Int
    /// Seconds until `limit` is there again.
    public let resetSeconds: Int
    /// Seconds in which `limit` requests may come.
    public let windowSeconds: Int

    public init(limit: Int, remaining: Int, resetSeconds: Int, windowSeconds: Int) {
        self.limit = limit
        self.remaining = remaining
        self.resetSeconds = resetSeconds
        self.windowSeconds = windowSeconds
    }
}

/// Decides whether a request is one too many.
public protocol RateLimiter: Sendable {
    /// Counts one request by address, and by account or key where there is one. Throws `rateLimited` with `retryAfter`. Nil where
    /// nothing was counted.
    func admit(_ rateClass: RateClass, address: ClientAddress, principal: Principal) async throws(Problem) -> RateState?

    /// Counts one attempt against a subject that the request names, an e-mail address or an account, whoever makes it: slows guesses
    /// down without ever locking anybody out for good. Throws `rateLimited`.
    func admit(_ rateClass: RateClass, subject: String) async throws(Problem)
}
