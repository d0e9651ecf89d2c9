import Contract
import RateLimits
import RedisClient
import TestSupport
import Testing

/// Limits that several gateways share, over the real server. Windows are an hour, so that nothing comes back while a test runs.
extension RedisTests {
    /// As many limiters as gateways, over clients of their own. The subjects are nobody else's.
    private static func limiters(
        _ clients: [RedisClient], _ rule: String, deadline: Duration = .seconds(5), observer: Recorder = Recorder()
    ) -> [RequestLimiter] {
        var rules = LimitRules()
        for rateClass in RateClass.allCases { _ = rules.read(rateClass, rule) }
        return clients.map { RequestLimiter(rules: rules, redis: $0, deadline: deadline, observer: observer) }
    }

    private static func someAddress() throws -> ClientAddress {
        try #require(ClientAddress(bytes: (0..<16).map { _ in UInt8.random(in: 1...255) }))
    }

    private static func admitted(
        _ times: Int, by limiters: [RequestLimiter], _ rateClass: RateClass, _ address: ClientAddress
    ) async -> Int {
        let outcomes = await concurrently(times) { number in try await limiters[number % limiters.count].admit(rateClass, address: address)
        }
        return outcomes.count { if case .success = $0 { true } else { false } }
    }

    private static func keys(_ redis: Fixture) async throws -> [String] {
        try await redis.send("KEYS", "kb:limit:*").elements?.compactMap(\.text) ?? []
    }

    private static func removeKeys(_ redis: Fixture) async throws {
        for key in try await keys(redis) { _ = try await redis.send("DEL", .text(key)) }
    }

    @Test func whatIsWorthGuessingAtIsCountedExactlyByAllGatewaysTogether() async throws {
        try await Self.withRedis { redis in
            let (limiters, address) = (Self.limiters([redis.client, redis.client, redis.client], "30/3600"), try Self.someAddress())
            for rateClass in [RateClass.signIn, .registration, .recovery] {
                #expect(await Self.admitted(120, by: limiters, rateClass, address) == 30)
            }
            let name = "\(UInt64.random(in: .min ... .max))@example.com"
            let outcomes = await Self.concurrently(90) { try await limiters[$0 % 3].admit(.signIn, subject: name) }
            #expect(outcomes.count { if case .success = $0 { true } else { false } } == 30)
            try await Self.removeKeys(redis)
        }
    }

    @Test func whatIsFrequentIsCountedByAllGatewaysTogetherButForWhatTheyHold() async throws {
        try await Self.withRedis { redis in
            let (limiters, address) = (Self.limiters([redis.client, redis.client], "320/3600"), try Self.someAddress())
            var admitted = 0
            for _ in 0..<10 { admitted += await Self.admitted(100, by: limiters, .read, address) }
            #expect((320 - 2 * 20...320).contains(admitted))
            try await Self.removeKeys(redis)
        }
    }

    @Test func oneGatewayAloneAdmitsTheLimitExactlyInFewRoundTrips() async throws {
        try await Self.withRedis { redis in
            let recorder = Recorder()
            let (limiters, address) = (Self.limiters([redis.client], "1600/3600", observer: recorder), try Self.someAddress())
            var admitted = 0
            for _ in 0..<2000 { if (try? await limiters[0].admit(.read, address: address)) != nil { admitted += 1 } }
            #expect(admitted == 1600)
            let calls = recorder.count { if case .storeCall(.redis, _, _) = $0 { true } else { false } }
            #expect(calls < 60, "leases of 1, 2, 4 ... 100, then all of 100")
            try await Self.removeKeys(redis)
        }
    }

    @Test func aMeterNamesNobodyAndGoesWhenItsLimitIsWhole() async throws {
        try await Self.withRedis { redis in
            try await Self.removeKeys(redis)
            let (limiters, address) = (Self.limiters([redis.client], "10/100"), try Self.someAddress())
            for _ in 0..<4 { _ = try await limiters[0].admit(.signIn, address: address) }
            let keys = try await Self.keys(redis)
            #expect(keys.count == 1)
            let key = try #require(keys.first)
            #expect(key.wholeMatch(of: /kb:limit:[0-9a-f]{32}/) != nil)
            let left = try #require(try await redis.send("PTTL", .text(key)).int64)
            #expect((38_000...40_000).contains(left))
            try await Self.removeKeys(redis)
        }
    }

    @Test func aRedisThatIsAwayLeavesEachGatewayItsOwnLimitAndOneThatIsBackJoinsThem() async throws {
        try await Self.withProxiedRedis { redis, proxy, direct in
            let recorder = Recorder()
            let limiters = Self.limiters([redis.client, direct.client], "40/3600", deadline: .milliseconds(200), observer: recorder)
            let (away, back) = (try Self.someAddress(), try Self.someAddress())
            proxy.refuse()
            proxy.cutAll()
            #expect(await Self.admitted(100, by: [limiters[0]], .signIn, away) == 40)
            #expect(await Self.admitted(100, by: [limiters[0]], .read, away) == 40)
            #expect(recorder.count { if case .rateLimitFallback = $0 { true } else { false } } > 0)
            #expect(await Self.admitted(100, by: [limiters[1]], .signIn, away) == 40)
            proxy.accept()
            try await eventually("Redis answers again") { (try? await redis.client.ping(deadline: Self.soon)) != nil }
            #expect(await Self.admitted(100, by: limiters, .signIn, back) == 40)
            try await Self.removeKeys(direct)
        }
    }

    @Test func aFrozenRedisCostsARequestNoMoreThanItsDeadline() async throws {
        try await Self.withProxiedRedis { redis, proxy, direct in
            let (limiters, address) = (Self.limiters([redis.client], "40/3600", deadline: .milliseconds(50)), try Self.someAddress())
            proxy.stall(.answers)
            let begun = ContinuousClock.now
            #expect(await Self.admitted(100, by: limiters, .signIn, address) == 40)
            #expect(begun.duration(to: .now) < .seconds(2))
            proxy.resume()
            try await Self.removeKeys(direct)
        }
    }

    @Test func anEmptiedRedisForgetsTheOthersButNotWhatThisGatewayAdmitted() async throws {
        try await Self.withRedis { redis in
            let (limiters, address) = (Self.limiters([redis.client, redis.client], "20/3600"), try Self.someAddress())
            #expect(await Self.admitted(50, by: [limiters[0]], .signIn, address) == 20)
            try await Self.removeKeys(redis)
            _ = try await redis.send("SCRIPT", "FLUSH")
            #expect(await Self.admitted(50, by: [limiters[0]], .signIn, address) == 0)
            #expect(await Self.admitted(50, by: [limiters[1]], .signIn, address) == 20)
            try await Self.removeKeys(redis)
        }
    }

    @Test(arguments: ["garbage", "", "99999999999999999", "-5"])
    func aMeterThatMakesNoSenseLocksNobodyOut(value: String) async throws {
        try await Self.withRedis { redis in
            try await Self.removeKeys(redis)
            let (limiters, address) = (Self.limiters([redis.client, redis.client], "2/2"), try Self.someAddress())
            _ = try await limiters[0].admit(.signIn, address: address)
            let key = try #require(try await Self.keys(redis).first)
            _ = try await redis.send("SET", .text(key), .text(value))
            do throws(Problem) { _ = try await limiters[1].admit(.signIn, address: address) } catch {
                #expect(error.retryAfter == 1, "a clock that was set back: no longer than the rule has it")
            }
            try await Self.removeKeys(redis)
        }
    }
}
