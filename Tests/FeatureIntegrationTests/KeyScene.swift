import Foundation
import NIOHTTP1
import TestSupport
import Testing

@testable import Identity

/// Ada and Bob, who make beats, Cleo, who does not, an admin, and a gateway that they send requests with keys to.
struct KeyScene {
    let stack: Stack
    let gateway: RunningGateway
    let ada: String
    let bob: String
    let cleo: String
    let root: String

    static func use(_ body: (KeyScene) async throws -> Void) async throws {
        try await Stack.use { stack in
            let desk = try await SessionDesk(stack)
            for name in ["ada", "bob"] { try await desk.makeAccount(name, roles: ["user", "creator"]) }
            try await desk.makeAccount("cleo", roles: ["user"])
            try await desk.makeAccount("toor", roles: ["user", "admin"])
            var tokens: [String] = []
            for name in ["ada", "bob", "cleo", "toor"] { tokens.append(try await desk.login(name).accessToken) }
            let signedIn = tokens
            try await RunningGateway.run(stack, ["TOKEN_ISSUER": "https://kababeat.test"]) { gateway in
                try await body(
                    KeyScene(
                        stack: stack, gateway: gateway, ada: signedIn[0], bob: signedIn[1], cleo: signedIn[2], root: signedIn[3]))
            }
        }
    }

    static let beat = #"{"title":"Summer Vibes","metadata":{"bpm":140}}"#

    /// Sends a request with a key; as Ada, unless `by` says otherwise.
    func post(
        _ path: String = "/api/beats", key: String = "key", by bearer: String? = nil, ifMatch: String? = nil, body: String? = KeyScene.beat
    ) async throws -> RunningGateway.Answer {
        var fields = ["Idempotency-Key": key]
        if let ifMatch { fields["If-Match"] = ifMatch }
        return try await gateway.send("POST", path, bearer: bearer ?? ada, fields: fields, body: body)
    }

    /// Takes the only key back to where a gateway leaves it that is killed before it has kept the answer, and as long ago as that is.
    func unsettle(secondsLeft: Int = 0) async throws {
        try await stack.owner.run(
            """
            UPDATE idempotency_keys SET state = 'running', status = NULL, header_fields = NULL, body = NULL,
                locked_until = now() + interval '\(secondsLeft) s'
            """)
    }

    static func id(_ answer: RunningGateway.Answer) throws -> String {
        let object = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
        return try #require(object?["id"] as? String, "\(answer.status) \(answer.body)")
    }
}

extension RunningGateway.Answer {
    var isReplayed: Bool { fields.first(name: "Idempotency-Replayed") == "true" }
}
