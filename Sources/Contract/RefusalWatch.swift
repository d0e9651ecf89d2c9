/// Hears of requests that the edge refuses for who sends them, or for how many.
public protocol RefusalWatch: Sendable {
    /// Returns at once: the request's answer does not wait for what comes of it. `route` is the route's name.
    func refused(_ refusal: Refusal, _ caller: Caller, route: String?)
}

/// Why the edge refused a request, where that may be an attack.
public enum Refusal: String, Sendable, CaseIterable {
    /// A token, cookie or key that counts for nothing. One now and then has merely expired.
    case deadCredential = "dead_credentials"
    /// Over a rate limit.
    case rateLimited = "rate_limited"
}
