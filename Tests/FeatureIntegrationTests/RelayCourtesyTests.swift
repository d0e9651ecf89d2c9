import Contract
import TestSupport
import Testing

@testable import DataPlane

@Suite("Relays of several gateways", .timeLimit(.minutes(2))) struct RelayCourtesyTests {
    @Test("A claim that is courteous passes over what came due a moment ago, and takes what has been due for longer")
    func claims() async throws {
        try await Stack.use { stack in
            let (fresh, left) = (try await stack.makeBeat(1), try await stack.makeBeat(2))
            try await stack.owner.run("UPDATE outbox SET next_at = now() - interval '1 minute' WHERE aggregate_id = '\(left)'")
            let store = OutboxStore(postgres: stack.postgresAccess, lane: .copies)
            let courtesy = Duration.seconds(30)
            #expect(try await store.claim(token: .now, courtesy: courtesy).map(\.aggregate) == [left])
            #expect(try await store.claim(token: .now, courtesy: courtesy).isEmpty)
            #expect(try await store.claim(token: .now).map(\.aggregate) == [fresh])
        }
    }

    @Test("What a gateway has written and never delivers, another delivers that nobody wakes")
    func leftBehind() async throws {
        try await Stack.use { stack in
            let relay = stack.relay()
            let running = Task { await relay.run() }
            // By now it has looked once, and waits.
            let first = try await stack.makeBeat(1)
            #expect(await eventually { (try? await stack.outbox(first)) == [] })
            let second = try await stack.makeBeat(2)
            #expect(await eventually { (try? await stack.outbox(second)) == [] })
            #expect(try await stack.version("beats", of: second) == 1)
            relay.stop()
            await running.value
        }
    }

    @Test("While the gateway that writes delivers, no other that is not woken takes its rows")
    func whoeverWrites() async throws {
        try await Stack.use { stack in
            let (writers, others) = (Recorder(), Recorder())
            let (writer, other) = (stack.relay(observer: writers), stack.relay(observer: others))
            let running = [writer, other].map { relay in Task { await relay.run() } }
            let beat = try await stack.makeBeat(1)
            writer.poke()
            #expect(await eventually { (try? await stack.outbox(beat)) == [] })
            // Whatever was there when they began is anybody's.
            func deliveries(_ recorder: Recorder) -> Int { recorder.count { if case .relayDelivered = $0 { true } else { false } } }
            let before = deliveries(others)
            for number in 0..<40 {
                try await stack.change(beat, "title = 'Title \(number)'")
                writer.poke()
                #expect(await eventually { (try? await stack.outbox(beat)) == [] })
            }
            #expect(deliveries(others) <= before + 4, "of 40")
            #expect(try await stack.version("search_index", of: beat) == 41)
            for relay in [writer, other] { relay.stop() }
            for task in running { await task.value }
        }
    }
}
