import Contract
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import HTTPAPI

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

    @Test func aRequestThatItsTaskNeverBeganIsAnsweredAndLoggedUnderItsOwnID() async throws {
        let (recorder, logger) = (Recorder(), Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let route = Route.get("/ok", .anyone) { _ throws(Problem) in .json(Array("{}".utf8)) }
        let edge = HTTPEdge(table: RouteTable([route]), limits: Self.limits, observer: recorder)
        let channel = EdgeChannel(edge: edge, limits: Self.limits, counts: ConnectionCounts(most: 8))
        let (connections, setUp) = AsyncStream.makeStream(of: EdgeChannel.Value.self)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { child in channel.setup(channel: child, logger: logger).map { _ = setUp.yield($0) } }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = EdgeServer(port: try #require(listener.localAddress?.port), edge: edge, recorder: recorder)
        try await server.connect { wire in
            try await wire.send(Wire.request("/ok?a=1"))
            let answer = try #require(try await wire.answer())
            let id = try #require(answer["x-request-id"])
            #expect(answer.code == "timeout" && answer.body.contains(id))
            // Begun after that, the task has nothing to do, and nothing to tell.
            for await connection in connections.prefix(1) { await channel.handle(value: connection, logger: logger) }
            let observed = recorder.all.compactMap {
                if case .request(_, "GET", "/ok", 503, let microseconds, let id, .timeout, _) = $0 {
                    (id.description, microseconds)
                } else {
                    nil
                }
            }
            #expect(observed.count == 1 && observed.first?.0 == id)
            #expect(observed.first?.1 ?? 0 >= 250_000)
        }
        try await listener.close().get()
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
