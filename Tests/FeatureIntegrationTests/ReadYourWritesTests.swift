import Foundation
import NIOHTTP1
import TestSupport
import Testing

@testable import Identity

/// Whoever has written reads it, whichever gateway he asks next.
@Suite("Two gateways", .timeLimit(.minutes(5)))
struct ReadYourWritesTests {
    @Test("The next read of whoever has changed a beat shows the change, at another gateway too, by the version that it carries")
    func elsewhere() async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            try await desk.makeAccount("ada", roles: ["user", "creator"])
            let ada = try await desk.login("ada").accessToken
            let settings = ["TOKEN_ISSUER": "https://kababeat.test"]
            try await RunningGateway.run(stack, settings) { here in
                try await RunningGateway.run(stack, settings) { there in
                    let made = try Self.object(
                        try await here.send("POST", "/api/beats", bearer: ada, body: #"{"title":"Take 0","metadata":{"bpm":140}}"#))
                    let path = "/api/beats/\(try #require(made["id"] as? String))"
                    _ = try Self.object(try await here.send("POST", "\(path)/publish", bearer: ada))
                    for take in 1...20 {
                        // Held in the other's memory as it was before.
                        _ = try await there.send("GET", path)
                        let written = try Self.object(
                            try await here.send(
                                "PATCH", path, bearer: ada, body: #"{"title":"Take \#(take)","metadata":{"bpm":\#(100 + take)}}"#))
                        let version = try #require(written["version"] as? Int)
                        for bearer in [ada, nil] {
                            let read = try Self.object(
                                try await there.send("GET", path, bearer: bearer, fields: ["If-Version-At-Least": "\(version)"]))
                            #expect(read["version"] as? Int == version)
                            #expect(read["title"] as? String == "Take \(take)")
                            #expect((read["metadata"] as? [String: Any])?["bpm"] as? Int == 100 + take)
                            #expect(read["sources"] == nil)
                        }
                    }
                }
            }
        }
    }

    private static func object(_ answer: RunningGateway.Answer) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
        return try #require((200..<300).contains(answer.status) ? object : nil, "\(answer.status) \(answer.body)")
    }
}
