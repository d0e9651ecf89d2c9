import Contract

/// Something that an issuer publishes and changes now and then: its keys, its endpoints.
///
/// Kept for a while, and longer when the issuer is away: what it said last is worth more than nothing. However many ask, one fetches,
/// and never more often than the pauses allow.
actor TrustedIssuerDocument<Value: Sendable> {
    struct Limits: Sendable {
        /// How long what was fetched is as good as new.
        var lifetime = Duration.seconds(600)
        /// The least time between two fetches, also where somebody asks for something newer.
        var pause = Duration.seconds(10)
        /// The same, as long as there is nothing yet.
        var firstPause = Duration.seconds(1)
    }

    typealias Fetch = @Sendable () async throws(Problem) -> Value

    private let limits: Limits
    private let fetch: Fetch
    private var kept: (value: Value, since: ContinuousClock.Instant)?
    private var lastTry: (at: ContinuousClock.Instant, failure: Problem?)?
    private var flight: Task<Result<Value, Problem>, Never>?

    init(limits: Limits = Limits(), fetch: @escaping Fetch) {
        self.limits = limits
        self.fetch = fetch
    }

    /// What is published. With `newer`, what is kept is fetched again first, if the pause since the last fetch is over.
    /// Throws what the fetch threw where nothing was ever had.
    func value(newer: Bool = false) async throws(Problem) -> Value {
        let now = ContinuousClock.now
        if let kept, !newer, now - kept.since < limits.lifetime { return kept.value }
        if flight == nil, let lastTry, now - lastTry.at < (kept == nil ? limits.firstPause : limits.pause) {
            if let kept { return kept.value }
            throw lastTry.failure ?? OpenIDFetcher.away
        }
        let flight = flight ?? begin()
        // What is merely old serves until the new is there.
        if let kept, !newer { return kept.value }
        switch await flight.value {
        case .success(let value): return value
        case .failure(let problem):
            if let kept { return kept.value }
            throw problem
        }
    }

    private func begin() -> Task<Result<Value, Problem>, Never> {
        lastTry = (.now, nil)
        let task = Task {
            let result: Result<Value, Problem>
            do throws(Problem) { result = .success(try await fetch()) } catch { result = .failure(error) }
            end(result)
            return result
        }
        flight = task
        return task
    }

    private func end(_ result: Result<Value, Problem>) {
        flight = nil
        switch result {
        case .success(let value): kept = (value, .now)
        case .failure(let problem): lastTry = lastTry.map { ($0.at, problem) }
        }
    }
}
