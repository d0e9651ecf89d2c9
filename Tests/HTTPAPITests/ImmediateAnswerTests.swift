import Contract
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import HTTPAPI

/// What is answered on the event loop, and what waits its turn.
@Suite(.timeLimit(.minutes(1))) struct ImmediateAnswerTests {
    private let gate = Gate()

    /// `/quick/{n}` is at hand, `/slow/{n}` passes the gate, `/either/{n}` is at hand for whoever may have it so.
    private func routes(_ others: Route...) -> [Route] {
        @Sendable func reply(_ call: Call) -> Reply {
            .json(Array(#"{"n":\#(call.parameter("n"))}"#.utf8), etag: #""\#(call.parameter("n"))""#)
        }
        return [
            .get("/quick/{n}", .anyone) { _ throws(Problem) in throw .unexpected }.first { call throws(Problem) in reply(call) },
            .get("/slow/{n}", .anyone) { [gate] call throws(Problem) in
                await gate.pass()
                return reply(call)
            }.first { _ throws(Problem) in nil },
            .get("/either/{n}", .anyone) { _ throws(Problem) in .json(Array(#"{"by":"handler"}"#.utf8)) }
                .first { _ throws(Problem) in .json(Array(#"{"by":"shortcut"}"#.utf8)) },
            .get("/refused", .anyone) { _ throws(Problem) in throw .unexpected }.first { _ throws(Problem) in throw .notFound("beat") },
            .post("/written", .anyone) { call throws(Problem) in
                _ = try call.input(allowed: ["a"])
                return .done
            },
        ] + others
    }

    private static func requests(_ targets: String...) -> String { targets.map { Wire.request($0) }.joined() }

    @Test func whatIsAtHandAndWhatWaitsAreAnsweredInTheOrderOfTheirRequests() async throws {
        try await EdgeServer.run(routes()) { server in
            try await server.connect { wire in
                try await wire.send(
                    Self.requests("/quick/1", "/slow/2", "/quick/3", "/refused", "/slow/5")
                        + Wire.request("/nowhere", method: "POST", body: "{}"))
                #expect(try await wire.answer()?.body == #"{"n":1}"#)
                gate.open()
                #expect(try await wire.answer()?.body == #"{"n":2}"#)
                #expect(try await wire.answer()?.body == #"{"n":3}"#)
                #expect(try await wire.answer()?.code == "not_found")
                #expect(try await wire.answer()?.body == #"{"n":5}"#)
                #expect(try await wire.answer()?.code == "not_found")
            }
        }
    }

    /// How many answers one connection got at once. Whatever its task was left with must have been answered by then.
    private func expectAnswers(
        atOnce count: Int, _ body: (inout Wire) async throws -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await EdgeServer.run(routes()) { server in
            try await server.connect(body)
            let isSo = await eventually { server.edge.traffic.ended == (count, 0) }
            #expect(isSo, "\(server.edge.traffic.ended)", sourceLocation: sourceLocation)
        }
    }

    @Test func whatIsAtHandIsAnsweredAtOnce() async throws {
        try await expectAnswers(atOnce: 4) { wire in
            try await wire.send(Self.requests("/quick/1", "/refused", "/nowhere"))
            for _ in 1...3 { #expect(try await wire.answer() != nil) }
            try await wire.send(Self.requests("/quick/4"))
            #expect(try await wire.answer()?.status == 200)
        }
    }

    @Test func afterASlowAnswerTheNextAreGivenAtOnceAgain() async throws {
        try await expectAnswers(atOnce: 2) { wire in
            // The second waits for the first, in the task.
            try await wire.send(Self.requests("/slow/1", "/quick/2"))
            await gate.arrivals()
            gate.open()
            for _ in 1...2 { #expect(try await wire.answer()?.status == 200) }
            for n in 3...4 {
                try await wire.send(Self.requests("/quick/\(n)"))
                #expect(try await wire.answer()?.status == 200)
            }
        }
    }

    @Test func afterABodyTheNextAnswerIsGivenAtOnceAgain() async throws {
        try await expectAnswers(atOnce: 1) { wire in
            try await wire.send(Wire.request("/written", method: "POST", body: #"{"a":1}"#))
            #expect(try await wire.answer()?.status == 204)
            try await wire.send(Self.requests("/quick/2"))
            #expect(try await wire.answer()?.status == 200)
        }
    }

    @Test func afterABodyThatWasAskedForTheNextAnswerIsGivenAtOnceAgain() async throws {
        try await expectAnswers(atOnce: 2) { wire in
            let fields = ["Content-Type: application/json", "Content-Length: 7", "Expect: 100-continue"]
            try await wire.send(Self.requests("/quick/1") + Wire.request("/written", fields, method: "POST"))
            #expect(try await wire.answer()?.status == 200)
            #expect(try await wire.answer()?.status == 100)
            try await wire.send(#"{"a":1}"#)
            #expect(try await wire.answer()?.status == 204)
            try await wire.send(Self.requests("/quick/2"))
            #expect(try await wire.answer()?.status == 200)
        }
    }

    @Test func whatIsNoHTTPIsNoRequestThatWasAnswered() async throws {
        try await expectAnswers(atOnce: 1) { wire in
            try await wire.send(Self.requests("/quick/1") + "what is this\r\n\r\n")
            #expect(try await wire.answer()?.status == 200)
            #expect(try await wire.answer()?.status == 400)
            #expect(try await wire.isClosed())
        }
    }

    @Test func aRequestThatComesAfterASlowOneWaitsForIt() async throws {
        try await EdgeServer.run(routes()) { server in
            try await server.connect { wire in
                try await wire.send(Self.requests("/slow/1"))
                await gate.arrivals()
                try await wire.send(Self.requests("/quick/2", "/quick/3"))
                // Somebody else is answered meanwhile.
                #expect(try await server.answer("/quick/4")?.body == #"{"n":4}"#)
                #expect(server.recorder.count { if case .request = $0 { true } else { false } } == 1)
                gate.open()
                for n in 1...3 { #expect(try await wire.answer()?.body == #"{"n":\#(n)}"#) }
                // The task has nothing left to do: at hand again.
                try await wire.send(Self.requests("/quick/5"))
                #expect(try await wire.answer()?.body == #"{"n":5}"#)
            }
        }
    }

    @Test func anAnswerAtHandIsTheLastOneWhereTheClientOrTheGatewayIsAboutToGo() async throws {
        try await EdgeServer.run(routes()) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/quick/1", ["Connection: close"]) + Self.requests("/quick/2"))
                let answer = try await wire.answer()
                #expect(answer?["connection"] == "close" && answer?.body == #"{"n":1}"#)
                #expect(try await wire.isClosed())
            }
            try await server.connect { wire in
                try await wire.send(Self.requests("/quick/1"))
                #expect(try await wire.answer()?["connection"] == nil)
                server.edge.drain()
                try await wire.send(Self.requests("/quick/2", "/quick/3"))
                let answer = try await wire.answer()
                #expect(answer?["connection"] == "close" && answer?.body == #"{"n":2}"#)
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test func headAndConditionalRequestsAreAnsweredAtHandAsElsewhere() async throws {
        try await EdgeServer.run(routes()) { server in
            let head = try await server.answer("/quick/7", method: "HEAD")
            #expect(head?.status == 200 && head?["content-length"] == "7" && head?.body == "")
            let known = try await server.answer("/quick/7", #"If-None-Match: "7""#)
            #expect(known?.status == 304 && known?["etag"] == #""7""# && known?.body == "")
            #expect(known?["server-timing"]?.contains("authorise") == true && known?["cache-control"] == "public, no-cache")
        }
    }

    @Test func aRequestWithACredentialGoesToTheHandler() async throws {
        try await EdgeServer.run(routes()) { server in
            let plain = try await server.answer("/either/1")
            let withCookie = try await server.answer("/either/1", "Cookie: taste=sweet")
            let withToken = try await server.answer("/either/1", "Authorization: Bearer none")
            #expect(plain?.body == #"{"by":"shortcut"}"#)
            #expect(withCookie?.body == #"{"by":"handler"}"#)
            #expect(withToken?.code == "unauthenticated")
        }
    }

    @Test func overloadRefusesWhatIsAtHandToo() async throws {
        var limits = EdgeLimits()
        limits.requestsInFlight = 1
        try await EdgeServer.run(routes(), limits: limits) { server in
            try await server.connect { wire in
                try await wire.send(Self.requests("/slow/1"))
                await gate.arrivals()
                let refused = try await server.answer("/quick/2")
                #expect(refused?.code == "overloaded" && refused?["retry-after"] == "1")
                gate.open()
                #expect(try await wire.answer()?.status == 200)
            }
            #expect(await eventually { server.edge.requestsInFlight == 0 })
            #expect(try await server.answer("/quick/2")?.status == 200)
        }
    }

    @Test func aClientThatGoesAwayLeavesItsPlaceToOthers() async throws {
        try await EdgeServer.run(routes()) { server in
            for _ in 0..<20 {
                _ = try await server.connect { wire in try await wire.send(Self.requests("/slow/1", "/slow/2")) }
            }
            await gate.arrivals()
            gate.open()
            #expect(await eventually { server.edge.requestsInFlight == 0 })
        }
    }

    @Test func whoDoesNotReadHisAnswerKeepsNobodyOut() async throws {
        var limits = EdgeLimits()
        limits.requestsInFlight = 1
        // More than the systems' buffers hold.
        let large = Route.get("/large", .anyone) { _ throws(Problem) in Reply(body: ByteBuffer(repeating: 0x20, count: 64 << 20)) }
        try await EdgeServer.run(routes(large), limits: limits) { server in
            try await server.connect { wire in
                try await wire.send(Self.requests("/large"))
                #expect(await eventually { server.recorder.all.count == 1 })
                #expect(try await server.answer("/refused")?.code == "not_found")
            }
        }
    }

    @Test func whatIsNoHTTPEndsTheConnectionAfterTheAnswersBeforeIt() async throws {
        try await EdgeServer.run(routes()) { server in
            try await server.connect { wire in
                try await wire.send(Self.requests("/quick/1", "/quick/2") + "what is this\r\n\r\n" + Self.requests("/quick/3"))
                #expect(try await wire.answer()?.body == #"{"n":1}"#)
                #expect(try await wire.answer()?.body == #"{"n":2}"#)
                let answer = try await wire.answer()
                #expect(answer?.status == 400 && answer?["connection"] == "close")
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test func bodiesBetweenAnswersAtHandFindTheirRequest() async throws {
        try await EdgeServer.run(routes()) { server in
            try await server.connect { wire in
                try await wire.send(
                    Self.requests("/quick/1") + Wire.request("/written", method: "POST", body: #"{"a":1}"#) + Self.requests("/quick/2")
                        + Wire.request("/written", method: "POST", body: #"{"b":1}"#) + Self.requests("/quick/3"))
                #expect(try await wire.answer()?.body == #"{"n":1}"#)
                #expect(try await wire.answer()?.status == 204)
                #expect(try await wire.answer()?.body == #"{"n":2}"#)
                #expect(try await wire.answer()?.status == 400)
                #expect(try await wire.answer()?.body == #"{"n":3}"#)
            }
        }
    }

    @Test func whoDoesNotReadIsNotAnsweredWithoutEnd() async throws {
        let body = ByteBuffer(repeating: 0x20, count: 100_000)
        let large = Route.get("/large/{n}", .anyone) { _ throws(Problem) in throw .unexpected }
            .first { call throws(Problem) in Reply(body: body, etag: #""\#(call.parameter("n"))""#) }
        let count = 2000
        try await EdgeServer.run(routes(large)) { server in
            try await server.connect { wire in
                try await wire.send((0..<count).map { Wire.request("/large/\($0)") }.joined())
                var (answered, before) = (0, -1)
                while answered == 0 || answered != before {
                    try await letOthersPass(server)
                    before = answered
                    answered = server.recorder.count {
                        if case .request(_, _, let path, _, _, _, _, _) = $0 { path.hasPrefix("/large") } else { false }
                    }
                }
                // 200 MB are asked for; the systems' buffers hold some of them.
                #expect(answered < 1000)
                for n in 0..<20 {
                    let answer = try #require(try await wire.answer())
                    #expect(answer["etag"] == #""\#(n)""# && answer.body.utf8.count == 100_000)
                }
            }
        }
    }

    /// Answers others on every event loop, at once and by a task, again and again: whatever is ready has its turn meanwhile, however slow the
    /// machine is. What has not gone on by then waits for something else.
    private func letOthersPass(_ server: EdgeServer) async throws {
        gate.open()
        for _ in 0..<8 * System.coreCount {
            #expect(try await server.answer("/quick/1")?.status == 200)
            #expect(try await server.answer("/slow/1")?.status == 200)
        }
    }

    /// Counts who asked, and cannot say by itself where it is told so.
    private final class Turnstile: RateLimiter {
        let asked = Atomic<Int>(0)
        private let isLocal: Bool
        private let most: Int

        init(most: Int, isLocal: Bool) { (self.most, self.isLocal) = (most, isLocal) }

        private func count() throws(Problem) -> RateState {
            let count = asked.wrappingAdd(1, ordering: .relaxed).newValue
            guard count <= most else { throw Problem(.rateLimited, "Too many.", retryAfter: 7) }
            return RateState(limit: most, remaining: most - count, resetSeconds: 1, windowSeconds: 60)
        }

        func admitLocally(_ rateClass: RateClass, address: ClientAddress) throws(Problem) -> LocalAdmission {
            isLocal ? .admitted(try count()) : .undecided
        }
        func admit(_ rateClass: RateClass, address: ClientAddress) async throws(Problem) -> RateState? { try count() }
        func admitLocally(_ rateClass: RateClass, principal: Principal, address: ClientAddress) throws(Problem) -> LocalAdmission {
            .admitted(nil)
        }
        func admit(_ rateClass: RateClass, principal: Principal, address: ClientAddress) async throws(Problem) -> RateState? { nil }
        func admit(_ rateClass: RateClass, subject: String) async throws(Problem) {}
    }

    @Test(arguments: [true, false]) func aRequestIsCountedOnceWhicheverWayItIsAnswered(_ isLocal: Bool) async throws {
        let turnstile = Turnstile(most: 4, isLocal: isLocal)
        gate.open()
        try await EdgeServer.run(routes(), rateLimiter: turnstile) { server in
            #expect(try await server.answer("/either/1")?["ratelimit"] == #""all";r=3;t=1"#)
            #expect(try await server.answer("/slow/1")?["ratelimit"] == #""all";r=2;t=1"#)
            try await server.connect { wire in
                try await wire.send(Self.requests("/slow/1", "/either/2", "/either/3"))
                #expect(try await wire.answer()?["ratelimit"] == #""all";r=1;t=1"#)
                #expect(try await wire.answer()?["ratelimit"] == #""all";r=0;t=1"#)
                let refused = try await wire.answer()
                #expect(refused?.status == 429 && refused?["retry-after"] == "7")
            }
            #expect(turnstile.asked.load(ordering: .relaxed) == 5)
        }
    }
}
