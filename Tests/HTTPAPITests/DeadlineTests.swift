import Contract
import HTTPAPI
import NIOCore
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct DeadlineTests {
    private static var limits: EdgeLimits {
        var limits = EdgeLimits()
        limits.total = .milliseconds(300)
        limits.linger = .milliseconds(300)
        return limits
    }

    private static func isTimeout(_ observation: Observation) -> Bool {
        if case .request(0, _, _, 503, _, _, .timeout, _) = observation { true } else { false }
    }

    @Test func aHandlerThatTakesTooLongIsCancelledAndAnswered() async throws {
        let cancelled = Gate()
        let route = Route.get("/slow", .anyone) { _ throws(Problem) in
            // Longer than any limit: the cancellation alone ends it.
            do { try await Task.sleep(for: .seconds(600)) } catch { cancelled.open() }
            throw .unavailable(.postgres)
        }
        try await EdgeServer.run([route], limits: Self.limits) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/slow") + Wire.request("/slow"))
                let answer = try #require(try await wire.answer())
                #expect(answer.status == 503 && answer.code == "timeout" && answer["retry-after"] == "1")
                #expect(answer["connection"] == "close" && answer["content-type"] == "application/problem+json")
                let id = try #require(answer["x-request-id"])
                #expect(answer.body.contains(id))
                #expect(try await wire.isClosed())
                await cancelled.pass()
                #expect(await eventually { server.recorder.count(where: Self.isTimeout) == 1 })
                let observed = server.recorder.all.compactMap {
                    if case .request(_, _, _, _, _, let id, _, _) = $0 { id.description } else { nil }
                }
                #expect(observed == [id])
            }
        }
    }

    @Test func aHandlerThatDoesNotListenIsAnsweredAllTheSame() async throws {
        let gate = Gate()
        let route = Route.get("/deaf", .anyone) { _ throws(Problem) in
            await gate.pass()
            return .json(Array("{}".utf8))
        }
        try await EdgeServer.run([route], limits: Self.limits) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/deaf"))
                #expect(try await wire.answer()?.code == "timeout")
                #expect(try await wire.isClosed())
                gate.open()
                #expect(await eventually { server.recorder.count(where: Self.isTimeout) == 1 })
            }
        }
    }

    @Test func aConnectionMayLastLongerThanItsRequests() async throws {
        let route = Route.get("/ok", .anyone) { _ throws(Problem) in .json(Array("{}".utf8)) }
        try await EdgeServer.run([route], limits: Self.limits) { server in
            try await server.connect { wire in
                let end = ContinuousClock.now + .milliseconds(700)
                while .now < end {
                    try await wire.send(Wire.request("/ok"))
                    #expect(try await wire.answer()?.status == 200)
                    // Seven requests in more than twice the time that one may take.
                    try await Task.sleep(for: .milliseconds(100))
                }
            }
        }
    }
}
