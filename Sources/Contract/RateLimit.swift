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

    /// A place in tables by class.
    package var index: Int {
        switch self {
        case .unlimited: 0
        case .read: 1
        case .search: 2
        case .write: 3
        case .signIn: 4
        case .registration: 5
        case .recovery: 6
        }
    }
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

/// Decides whether a request is one too many. Each function counts one request by one thing, and throws `rateLimited` with
/// `retryAfter` where it is one too many; what they answer is what is left, nil where nothing is counted.
///
/// The edge asks by address before it finds out who is calling, so that a flood of false credentials costs no look-ups, and by
/// principal once it knows.
public protocol RateLimiter: Sendable {
    /// Counts by address. Without waiting; `.undecided`, with nothing counted, where `admit` has to be asked.
    func admitLocally(_ rateClass: RateClass, address: ClientAddress) throws(Problem) -> LocalAdmission
    func admit(_ rateClass: RateClass, address: ClientAddress) async throws(Problem) -> RateState?

    /// Counts by account or key; nothing where there is neither. `address` is where the request comes from: some are exempt.
    func admitLocally(_ rateClass: RateClass, principal: Principal, address: ClientAddress) throws(Problem) -> LocalAdmission
    func admit(_ rateClass: RateClass, principal: Principal, address: ClientAddress) async throws(Problem) -> RateState?

    /// Counts one attempt against a subject that the request names, an e-mail address or an account, whoever makes it: slows guesses
    /// down without ever locking anybody out for good.
    func admit(_ rateClass: RateClass, subject: String) async throws(Problem)
}

/// What a process could say by itself.
public enum LocalAdmission: Sendable, Hashable {
    case admitted(RateState?)
    case undecided
}

/// Which kind of subject a limit counts by, for metrics and settings.
public enum RateSubjectKind: String, Sendable, CaseIterable {
    case address, account, key
    /// Something that the request names: the e-mail address of a sign-in.
    case subject

    /// A place in tables by kind.
    package var index: Int {
        switch self {
        case .address: 0
        case .account: 1
        case .key: 2
        case .subject: 3
        }
    }
}
