import Contract
import DataPlane
import Foundation
import MongoClient
import NIOHTTP1
import RedisClient
import TestSupport
import Testing

@testable import Beats
@testable import Identity

/// What a creator's standing does to all of his beats, however many: before each of them has followed.
@Suite("A creator of thousands", .timeLimit(.minutes(10)))
struct CreatorStandingTests {
    private static let count = 2_000
    private static let list = "/api/beats?genre=Harbour"

    /// Two gateways over the same stores, a creator of many beats, another one of one, and an admin.
    private struct Scene {
        let stack: Stack
        let gateways: [RunningGateway]
        let maker: EntityID
        let boss: String
        /// Of the many, those that are in the memory of both gateways.
        let cached: [EntityID]

        static func use(_ body: (Scene) async throws -> Void) async throws {
            try await OwnRedis.run { redis in
                try await Stack.use { stack in
                    let desk = try await SessionDesk(stack)
                    let maker = try await desk.makeAccount("maker", roles: ["user", "creator"])
                    let other = try await desk.makeAccount("other", roles: ["user", "creator"])
                    let boss = try await desk.makeAccount("boss", roles: ["user", "admin"])
                    try await stack.publish(CreatorStandingTests.count, of: maker)
                    try await stack.publish(1, of: other)
                    try await stack.relay().drain(within: .seconds(60))
                    let token = try await desk.sessions.open(boss, caller: SessionDesk.caller, proof: .other).accessToken
                    let settings = [
                        "TOKEN_ISSUER": "https://kababeat.test", "REDIS_ENABLED": "true", "REDIS_HOST": redis.configuration.host,
                        "REDIS_PORT": "\(redis.configuration.port)",
                    ]
                    let sample = try await stack.texts("SELECT id::text FROM beats WHERE creator_id = '\(maker)' ORDER BY id DESC LIMIT 40")
                    try await RunningGateway.run(stack, settings) { first in
                        try await RunningGateway.run(stack, settings) { second in
                            let scene = Scene(
                                stack: stack, gateways: [first, second], maker: maker, boss: token,
                                cached: sample.compactMap { EntityID($0) })
                            try await scene.warm()
                            try await body(scene)
                        }
                    }
                }
            }
        }

        private func warm() async throws {
            for gateway in gateways {
                for beat in cached {
                    let isCached = try await eventually(within: .seconds(20)) {
                        try await gateway.send("GET", "/api/beats/\(beat)").fields["X-Cache"].contains("l1")
                    }
                    try #require(isCached)
                }
                #expect(try await total(gateway) == CreatorStandingTests.count + 1)
            }
        }

        func set(_ verb: String) async throws {
            let body = verb == "suspend" ? #"{"reason": "Spam"}"# : nil
            let answer = try await gateways[0].send("POST", "/api/admin/users/\(maker)/\(verb)", bearer: boss, body: body)
            #expect(answer.status == 200, "\(answer.body)")
        }

        /// How many of the cached beats some gateway still shows.
        func shown() async throws -> Int {
            var count = 0
            for gateway in gateways {
                for beat in cached where try await gateway.send("GET", "/api/beats/\(beat)").status == 200 { count += 1 }
            }
            return count
        }

        /// What a list says that it has in all, which must be exact where it says so; and no beat of the many where that is one.
        func total(_ gateway: RunningGateway) async throws -> Int? {
            let answer = try await gateway.send("GET", CreatorStandingTests.list)
            let object = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
            let page = try #require(object?["page"] as? [String: Any], "\(answer.status) \(answer.body)")
            let items = try #require(object?["items"] as? [Any])
            let total = page["totalIsExact"] as? Bool == true ? page["total"] as? Int : nil
            if total == 1 { #expect(items.count == 1 && page["next"] is String == false) }
            return total
        }

        func hasSettled() async throws -> Bool { try await stack.count("outbox WHERE aggregate_type <> 'mail'") == 0 }

        func mismatches() async throws -> [BeatMismatch] {
            // What has just been written is left out of a comparison.
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 hour'")
            return try await stack.mismatches()
        }
    }

    @Test("Suspended, he takes all of them out of both gateways long before they have followed; taken back, they are back")
    func suspension() async throws {
        try await Scene.use { scene in
            try await scene.set("suspend")
            #expect(try await eventually(within: .seconds(5)) { try await scene.shown() == 0 })
            for gateway in scene.gateways {
                #expect(try await eventually(within: .seconds(5)) { try await scene.total(gateway) == 1 })
            }
            #expect(try await eventually(within: .seconds(60)) { try await scene.hasSettled() })
            #expect(try await scene.stack.mongoCount("search_index", ["deleted": true, "v": 2]) == Self.count)
            #expect(try await scene.mismatches() == [])

            try await scene.set("unsuspend")
            #expect(try await eventually(within: .seconds(60)) { try await scene.hasSettled() })
            #expect(try await scene.shown() == 2 * scene.cached.count)
            for gateway in scene.gateways {
                #expect(try await eventually(within: .seconds(5)) { try await scene.total(gateway) == Self.count + 1 })
            }
            #expect(try await scene.mismatches() == [])
        }
    }

    @Test("Suspended and taken back again and again while they follow, all of them are there in the end")
    func changeOfMind() async throws {
        try await Scene.use { scene in
            for _ in 0..<4 {
                try await scene.set("suspend")
                try await scene.set("unsuspend")
            }
            #expect(try await eventually(within: .seconds(60)) { try await scene.hasSettled() })
            #expect(try await scene.shown() == 2 * scene.cached.count)
            for gateway in scene.gateways {
                #expect(try await eventually(within: .seconds(5)) { try await scene.total(gateway) == Self.count + 1 })
            }
            #expect(try await scene.mismatches() == [])
        }
    }

    /// `scripts/test` runs this by itself: a machine that is busy with all the rest says nothing of the gateway.
    @Test("Suspended, he has taken all of them out of both gateways within 250 ms of the answer")
    func whatIsTakenBackIsNowhereWithinTheLagBoundHoweverMuchItIs() async throws {
        try await Scene.use { scene in
            try await scene.set("suspend")
            // The bound itself: so long he may still be seen, and looking takes its time after it.
            try await Task.sleep(for: .milliseconds(250))
            #expect(try await scene.shown() == 0)
            for gateway in scene.gateways { #expect(try await scene.total(gateway) == 1) }
        }
    }
}

extension Stack {
    /// Writes published beats of one genre, whose deliveries wait in the outbox.
    fileprivate func publish(_ count: Int, of creator: EntityID) async throws {
        try await owner.run(
            """
            WITH made AS (
                INSERT INTO beats (id, creator_id, title, status, published_at)
                SELECT gen_random_uuid(), '\(creator)', 'Beat ' || number, 'published', now() FROM generate_series(1, \(count)) AS number
                RETURNING id),
            staged AS (
                INSERT INTO beat_content_staged (beat_id, version, content)
                SELECT id, 1, '{"metadata": {"bpm": 99, "genre": "Harbour"}}' FROM made)
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, 1, 'upsert' FROM made
            """)
    }
}
