import Contract
import RedisClient

/// The meters that all instances share, in Redis: `Meter` as one script, on the server's own clock, so that no instance's clock counts.
struct SharedMeter: Sendable {
    private let redis: RedisClient
    private let deadline: Duration
    private let observer: any Observer

    /// `deadline` is what one call may cost a request.
    init(redis: RedisClient, deadline: Duration, observer: any Observer) {
        (self.redis, self.deadline, self.observer) = (redis, deadline, observer)
    }

    struct Grant {
        let granted: Int
        /// Microseconds until the limit is whole again, and until the next request may come.
        let full: Int64
        let wait: Int64
    }

    /// Key: the meter. Arguments: interval in microseconds, limit, requests wanted, requests given back.
    /// An instant farther away than the limit reaches comes from a clock that was set back; nobody waits for that.
    private static let script = RedisScript(
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local interval, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
        local full = (tonumber(redis.call('GET', KEYS[1]) or '') or 0) - ARGV[4] * interval
        full = math.min(math.max(full, now), now + limit * interval)
        local granted = math.min(limit - math.ceil((full - now) / interval), tonumber(ARGV[3]))
        full = full + granted * interval
        if full > now then
            redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
        else
            redis.call('DEL', KEYS[1])
        end
        return {granted, full - now, math.max(0, full - now - (limit - 1) * interval)}
        """)

    /// Nil where Redis does not answer in time, or not as it should.
    func take(_ request: Standing.Request, _ key: RateKey, _ rule: RateRule) async -> Grant? {
        let start = ContinuousClock.now
        do {
            let reply = try await redis.evaluate(
                Self.script, keys: [key.shared(rule)],
                arguments: [
                    .integer(rule.interval), .integer(Int64(rule.limit)), .integer(Int64(request.wanted)), .integer(Int64(request.back)),
                ], deadline: start + deadline)
            observer.observe(.storeCall(.redis, microseconds: start.elapsedMicroseconds, failed: false))
            guard let parts = reply.elements, parts.count == 3, let granted = parts[0].int64, let full = parts[1].int64,
                let wait = parts[2].int64
            else { return nil }
            return Grant(granted: Int(granted), full: full, wait: wait)
        } catch {
            observer.observe(.storeCall(.redis, microseconds: start.elapsedMicroseconds, failed: true))
            if !error.isUnavailable, error.code != .cancelled {
                observer.observe(.storeNote(.redis, "refused to count: \(error.debugDescription)"))
            }
            return nil
        }
    }
}
