import RedisClient
import Testing

extension RedisTests {
    private func publish(_ redis: Fixture, _ numbers: Range<Int>, to channel: String) async throws {
        let commands = numbers.map { RedisCommand("PUBLISH", .text(channel), .integer(Int64($0))) }
        _ = try await redis.client.send(commands, deadline: Self.soon)
    }

    private func message(_ channel: String, _ number: Int) -> RedisSubscription.Event {
        .message(channel: channel, payload: Array("\(number)".utf8))
    }

    @Test(.timeLimit(.minutes(1))) func messagesComeInOrderFromEveryChannel() async throws {
        try await Self.withRedis { redis in
            let channels = [redis.prefix + "a", redis.prefix + "b"]
            var events = redis.client.subscribe(channels: channels).makeAsyncIterator()
            #expect(await events.next() == .subscribed)
            for channel in channels {
                try await publish(redis, 0..<500, to: channel)
                for number in 0..<500 { #expect(await events.next() == message(channel, number)) }
            }
            _ = try await redis.send("PUBLISH", .text(channels[0]), .bytes([0, 255, 13, 10]))
            #expect(await events.next() == .message(channel: channels[0], payload: [0, 255, 13, 10]))
        }
    }

    @Test(.timeLimit(.minutes(1))) func aLostConnectionIsAGapAfterWhichAllIsHeardAgain() async throws {
        try await Self.withProxiedRedis { redis, proxy, direct in
            let channel = redis.prefix + "c"
            var events = redis.client.subscribe(channels: [channel]).makeAsyncIterator()
            #expect(await events.next() == .subscribed)
            try await publish(direct, 0..<3, to: channel)
            for number in 0..<3 { #expect(await events.next() == message(channel, number)) }
            proxy.refuse()
            proxy.cutAll()
            #expect(await events.next() == .gap)
            try await publish(direct, 3..<6, to: channel)
            proxy.accept()
            #expect(await events.next() == .subscribed)
            try await publish(direct, 6..<9, to: channel)
            for number in 6..<9 { #expect(await events.next() == message(channel, number)) }
        }
    }

    @Test(.timeLimit(.minutes(1))) func aSilentConnectionIsAGap() async throws {
        try await Self.withProxiedRedis { configuration in
            configuration.subscriptionPing = .milliseconds(50)
        } _: { redis, proxy, _ in
            var events = redis.client.subscribe(channels: [redis.prefix + "c"]).makeAsyncIterator()
            #expect(await events.next() == .subscribed)
            proxy.stall()
            #expect(await events.next() == .gap)
            proxy.cutAll()
            proxy.resume()
            #expect(await events.next() == .subscribed)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aListenerThatDoesNotKeepUpIsToldOfAGap() async throws {
        try await Self.withRedis { configuration in
            configuration.subscriptionLimit = 10
        } _: { redis in
            let channel = redis.prefix + "c"
            var events = redis.client.subscribe(channels: [channel]).makeAsyncIterator()
            #expect(await events.next() == .subscribed)
            try await publish(redis, 0..<11, to: channel)
            try await eventually("it overflows") { redis.events.overflowed == 1 }
            try await publish(redis, 11..<12, to: channel)
            #expect(await events.next() == .gap)
            #expect(await events.next() == .subscribed)
            #expect(await events.next() == message(channel, 11))
        }
    }

    @Test(.timeLimit(.minutes(1))) func lettingGoOfASubscriptionClosesItsConnection() async throws {
        try await Self.withRedis { redis in
            let channel = redis.prefix + "c"
            for await event in redis.client.subscribe(channels: [channel]) where event == .subscribed { break }
            try await eventually("nobody listens") { try await redis.send("PUBLISH", .text(channel), "x") == .integer(0) }
        }
    }

    @Test(.timeLimit(.minutes(1))) func aSubscriptionEndsWithItsTaskAndWithTheClient() async throws {
        try await Self.withRedis { redis in
            let listener = Task {
                for await event in redis.client.subscribe(channels: [redis.prefix + "a"]) where event != .subscribed { return false }
                return true
            }
            var other = redis.client.subscribe(channels: [redis.prefix + "b"]).makeAsyncIterator()
            #expect(await other.next() == .subscribed)
            listener.cancel()
            #expect(await listener.value)
            await redis.client.shutdown()
            #expect(await other.next() == nil)
            var late = redis.client.subscribe(channels: [redis.prefix + "c"]).makeAsyncIterator()
            #expect(await late.next() == nil)
            var none = redis.client.subscribe(channels: []).makeAsyncIterator()
            #expect(await none.next() == nil)
        }
    }
}
