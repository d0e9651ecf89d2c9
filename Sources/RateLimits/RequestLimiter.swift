import Contract
import RedisClient
import Synchronization

/// The gateway's limiter: counts in this process what it may, and asks Redis for the rest. Without Redis every instance holds the same
/// rules by itself.
public final class RequestLimiter: RateLimiter {
    /// Subjects that this process remembers at once; about a hundred bytes each.
    public static let capacity = 65_536
    /// What Redis may cost a request.
    public static let deadline = Duration.milliseconds(50)

    private let rules: LimitRules
    private let shared: SharedMeter?
    private let table: StandingTable
    private let observer: any Observer
    private let clock: @Sendable () -> Int64

    /// `clock` brings microseconds that never go back.
    public init(
        rules: LimitRules, redis: RedisClient?, capacity: Int = capacity, deadline: Duration = deadline, observer: any Observer,
        clock: @escaping @Sendable () -> Int64 = RequestLimiter.uptime
    ) {
        self.rules = rules
        shared = redis.map { SharedMeter(redis: $0, deadline: deadline, observer: observer) }
        table = StandingTable(capacity: capacity)
        self.observer = observer
        self.clock = clock
    }

    /// Subjects that are remembered, for metrics.
    public var subjects: Int { table.count }

    // MARK: By address

    public func admitLocally(_ rateClass: RateClass, address: ClientAddress) throws(Problem) -> LocalAdmission {
        guard let rule = rule(rateClass, .address, address) else { return .admitted(nil) }
        return try admitLocally(RateKey(rateClass, address), rule)
    }

    public func admit(_ rateClass: RateClass, address: ClientAddress) async throws(Problem) -> RateState? {
        guard let rule = rule(rateClass, .address, address) else { return nil }
        return try await admit(RateKey(rateClass, address), rule)
    }

    // MARK: By account or key

    public func admitLocally(_ rateClass: RateClass, principal: Principal, address: ClientAddress) throws(Problem) -> LocalAdmission {
        guard let key = RateKey(rateClass, principal), let rule = rule(rateClass, key.kind, address) else { return .admitted(nil) }
        return try admitLocally(key, rule)
    }

    public func admit(_ rateClass: RateClass, principal: Principal, address: ClientAddress) async throws(Problem) -> RateState? {
        guard let key = RateKey(rateClass, principal), let rule = rule(rateClass, key.kind, address) else { return nil }
        return try await admit(key, rule)
    }

    // MARK: By what the request names

    public func admit(_ rateClass: RateClass, subject: String) async throws(Problem) {
        guard rules.isEnabled, let rule = rules[rateClass, .subject] else { return }
        _ = try await admit(RateKey(rateClass, subject: subject), rule)
    }

    // MARK: Counting

    private func rule(_ rateClass: RateClass, _ kind: RateSubjectKind, _ address: ClientAddress) -> RateRule? {
        guard rules.isEnabled, let rule = rules[rateClass, kind], !rules.isExempt(rateClass, address) else { return nil }
        return rule
    }

    private func admitLocally(_ key: RateKey, _ rule: RateRule) throws(Problem) -> LocalAdmission {
        let now = clock()
        guard let answer = table.with(key, { $0.spend(rule, at: now) }) else { return .undecided }
        return .admitted(try state(key, answer))
    }

    private func admit(_ key: RateKey, _ rule: RateRule) async throws(Problem) -> RateState? {
        let now = clock()
        let (answer, request) = table.with(key) { standing -> (Standing.Answer?, Standing.Request?) in
            if let answer = standing.spend(rule, at: now) { return (answer, nil) }
            return (nil, standing.ask(rule, isBulk: key.rateClass.isGeneral, at: now))
        }
        if let answer { return try state(key, answer) }
        guard let request else { return nil }
        let grant = await shared?.take(request, key, rule)
        if grant == nil, shared != nil { observer.observe(.rateLimitFallback(key.rateClass)) }
        let later = clock()
        return try state(
            key,
            table.with(key) { standing in
                guard let grant else { return standing.unanswered(request, rule, at: later) }
                return standing.answered(request, granted: grant.granted, full: grant.full, wait: grant.wait, rule, at: later)
            })
    }

    private func state(_ key: RateKey, _ answer: Standing.Answer) throws(Problem) -> RateState {
        switch answer {
        case .admitted(let state): return state
        case .refused(let wait): throw refusal(key, wait)
        }
    }

    private func refusal(_ key: RateKey, _ wait: Int64) -> Problem {
        observer.observe(.rateLimited(key.rateClass, key.kind))
        return Problem(
            .rateLimited, "There were too many requests of this kind; wait, then try again.", retryAfter: Int((wait + 999_999) / 1_000_000))
    }

    private static let start = ContinuousClock.now

    /// Microseconds since the process first asked.
    public static let uptime: @Sendable () -> Int64 = { start.elapsedMicroseconds }
}
