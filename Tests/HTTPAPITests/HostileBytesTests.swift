import Contract
import HTTPAPI
import NIOCore
import TestSupport
import Testing

/// What the framework underneath lets through, sent as bytes to a server that listens.
@Suite(.timeLimit(.minutes(1))) struct HostileBytesTests {
    private static let body = Array(#"{"ok":true}"#.utf8)

    private static let routes: [Route] = [
        .get("/ok", .anyone) { _ throws(Problem) in .json(body, etag: "\"tag\"") },
        .get("/large", .anyone) { _ throws(Problem) in Reply(body: ByteBuffer(repeating: 0x20, count: 64 << 20)) },
        .post("/write", .anyone, body: .json(limit: 64)) { call throws(Problem) in
            var input = try call.input(allowed: ["a"])
            let text = input.text("a", 0...64) ?? "nothing"
            try input.check()
            return Reply(contentType: "text/plain", body: ByteBuffer(string: text))
        },
        .delete("/gone", .anyone) { _ throws(Problem) in .done },
    ]

    private static var impatient: EdgeLimits {
        var limits = EdgeLimits()
        limits.idle = .milliseconds(300)
        limits.total = .seconds(30)
        limits.bodyGrace = .milliseconds(300)
        limits.linger = .milliseconds(300)
        return limits
    }

    // MARK: Requests that are no HTTP/1.1

    @Test(arguments: [
        "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n",
        "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET /ok HTTP/1.1\r\nHost: x\r\nX: " + String(repeating: "a", count: 17 << 10) + "\r\n\r\n",
        "GET /ok HTTP/1.1\r\nHost: x\r\n" + String(repeating: "X: a\r\n", count: 101) + "\r\n",
        "GET /ok HTTP/1.1\r\nHost: x\r\n" + String(repeating: "X: \(String(repeating: "a", count: 3000))\r\n", count: 11) + "\r\n",
        "GET /ok HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", "GET /ok HTTP/1.1\r\nHost : x\r\n\r\n", "GET /ok HTTP/1.1\nHost: x\n\n",
    ])
    func whatIsNoHTTPIsAnsweredOnceAndClosed(_ bytes: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send(bytes + "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
                let answer = try #require(try await wire.answer())
                #expect(answer.status == 400 && answer["connection"] == "close" && answer.body.isEmpty)
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test(arguments: ["", "Host: a\r\nHost: b\r\n", "Host: \r\n", "Host: a/b\r\n"])
    func exactlyOneHostIsNamed(_ hosts: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send("GET /ok HTTP/1.1\r\n\(hosts)\r\n")
                #expect(try await wire.answer()?.code == "invalid_host")
            }
        }
    }

    @Test(arguments: ["close", "Close", "CLOSE", "keep-alive, Close"])
    func closeIsHonouredInAnyCase(_ value: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/ok") + Wire.request("/ok", ["Connection: \(value)"]) + Wire.request("/ok"))
                #expect(try await wire.answer()?["connection"] == nil)
                #expect(try await wire.answer()?["connection"] == "close")
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test func headIsAnsweredAsGetWithoutItsBody() async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/ok", method: "HEAD") + Wire.request("/ok"))
                let (head, full) = (try await wire.answer(hasBody: false), try await wire.answer())
                #expect(head?.status == 200 && head?["content-length"] == "11" && head?["etag"] == full?["etag"])
                #expect(full?.body == #"{"ok":true}"#)
            }
        }
    }

    // MARK: Bodies

    @Test func aBodyIsReadWholeAndTheConnectionGoesOn() async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                let json = "Content-Type: application/json"
                try await wire.send(Wire.request("/write", method: "POST", body: #"{"a":"b"}"#))
                try await wire.send(Wire.request("/write", [json, "Transfer-Encoding: chunked"], method: "POST"))
                for chunk in [#"{"a""#, #":"c"}"#] { try await wire.send("\(String(chunk.utf8.count, radix: 16))\r\n\(chunk)\r\n") }
                try await wire.send("0\r\n\r\n")
                try await wire.send(Wire.request("/write", method: "POST"))
                try await wire.send(Wire.request("/gone", method: "DELETE") + Wire.request("/ok"))
                for expected in ["b", "c", "nothing"] { #expect(try await wire.answer()?.body == expected) }
                let gone = try #require(try await wire.answer())
                #expect(gone.status == 204 && gone["content-length"] == nil && gone["content-type"] == nil)
                #expect(try await wire.answer()?.status == 200)
            }
        }
    }

    @Test func aClientThatWaitsIsToldToSendItsBody() async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                let fields = ["Content-Type: application/json", "Content-Length: 9", "Expect: 100-Continue"]
                try await wire.send(Wire.request("/write", fields, method: "POST"))
                #expect(try await wire.answer()?.status == 100)
                try await wire.send(#"{"a":"b"}"#)
                #expect(try await wire.answer()?.body == "b")
            }
        }
    }

    @Test(arguments: [
        (["Content-Type: application/json", "Content-Length: 65"], 413, "body_too_large"),
        (["Content-Type: application/json", "Content-Length: 99999999999", "Expect: 100-continue"], 413, "body_too_large"),
        (["Content-Type: application/json", "Transfer-Encoding: chunked"], 413, "body_too_large"),
        (["Content-Type: text/plain", "Content-Length: 65"], 415, "unsupported_media_type"),
        (["Content-Length: 65"], 415, "unsupported_media_type"),
    ])
    func aBodyThatIsNotReadIsTheLastOnItsConnection(_ fields: [String], _ status: Int, _ code: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/write", fields, method: "POST"))
                if fields.contains("Transfer-Encoding: chunked") {
                    try await wire.send("41\r\n" + String(repeating: " ", count: 65) + "\r\n")
                }
                let answer = try #require(try await wire.answer())
                #expect(answer.status == status && answer.code == code && answer["connection"] == "close")
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test func aBodyWithoutEndIsCutOff() async throws {
        var limits = EdgeLimits()
        limits.unwantedBody = 1 << 20
        try await EdgeServer.run(Self.routes, limits: limits) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/ok", ["Transfer-Encoding: chunked"]))
                let chunk = "10000\r\n" + String(repeating: "x", count: 1 << 16) + "\r\n"
                var chunks = 0
                while try await wire.send(chunk) {
                    chunks += 1
                    try #require(chunks < 10_000)
                }
            }
        }
    }

    @Test(arguments: [
        (#"{"a":"b""#, "invalid_body"), ("[]", "invalid_body"), (#"{"b":1}"#, "invalid_request"), (#"{"a":1}"#, "invalid_request"),
    ])
    func aBodyThatIsReadAndWrongClosesNothing(_ body: String, _ code: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/write", method: "POST", body: body) + Wire.request("/ok"))
                #expect(try await wire.answer()?.code == code)
                #expect(try await wire.answer()?.status == 200)
            }
        }
    }

    @Test func aRequestThatTakesNoBodyComesWithNone() async throws {
        try await EdgeServer.run(Self.routes) { server in
            for (method, target) in [("GET", "/ok"), ("DELETE", "/gone")] {
                let answer = try await server.answer(target, method: method, body: "{}")
                #expect(answer?.code == "body_not_allowed" && answer?["connection"] == "close")
            }
        }
    }

    // MARK: Other protocols

    private static let upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]

    @Test(arguments: [
        (Wire.request("/ok", upgrade), 200), (Wire.request("/ok", ["Upgrade: websocket"]), 200),
        (Wire.request("/write", upgrade, method: "POST", body: "{}"), 200), (Wire.request("/nowhere", upgrade), 404),
        (Wire.request("/ok", upgrade, method: "POST", body: "{}"), 405), (Wire.request("x:80", method: "CONNECT"), 400),
    ])
    func whatOffersAnotherProtocolIsAnsweredInThisOneAndIsTheLast(_ request: String, _ status: Int) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/ok") + request + Wire.request("/ok"))
                #expect(try await wire.answer()?["connection"] == nil)
                let answer = try #require(try await wire.answer())
                #expect(answer.status == status && answer["connection"] == "close")
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test func anotherProtocolsBytesHinderNoAnswer() async throws {
        let gate = Gate()
        let slow = Route.get("/slow", .anyone) { _ throws(Problem) in
            await gate.pass()
            return .json(Self.body)
        }
        try await EdgeServer.run(Self.routes + [slow]) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/slow", Self.upgrade))
                await gate.arrivals()
                let bytes = String(repeating: "x", count: 1 << 20)
                for _ in 0..<8 { #expect(try await wire.send(bytes)) }
                gate.open()
                let answer = try #require(try await wire.answer())
                #expect(answer.status == 200 && answer["connection"] == "close")
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test(arguments: [Wire.request("/ok", upgrade), Wire.request("x:80", method: "CONNECT"), ""])
    func bytesThatAreNoRequestAreCutOff(_ start: String) async throws {
        var limits = EdgeLimits()
        limits.unwantedBody = 1 << 20
        try await EdgeServer.run(Self.routes, limits: limits) { server in
            try await server.connect { wire in
                try await wire.send(start)
                let bytes = String(repeating: "\r\n", count: 1 << 15)
                var count = 0
                while try await wire.send(bytes) {
                    count += 1
                    try #require(count < 10_000)
                }
            }
        }
    }

    // MARK: Slow ones

    @Test func aSilentConnectionIsClosed() async throws {
        try await EdgeServer.run(Self.routes, limits: Self.impatient) { server in
            let isClosed = try await server.connect { wire in try await wire.isClosed() }
            #expect(isClosed)
        }
    }

    @Test(arguments: ["", "GET /ok HTTP/1.1\r\nHost: x\r\nX: "])
    func aHeaderThatDripsIsCutOff(_ start: String) async throws {
        try await EdgeServer.run(Self.routes, limits: Self.impatient) { server in
            try await Self.drip(to: server, start, "a")
        }
    }

    @Test func aBodyThatDripsIsAnsweredTimeout() async throws {
        try await EdgeServer.run(Self.routes, limits: Self.impatient) { server in
            let fields = ["Content-Type: application/json", "Content-Length: 60"]
            let answer = try await Self.drip(to: server, Wire.request("/write", fields, method: "POST"), " ")
            #expect(answer?.status == 503 && answer?.code == "timeout" && answer?["connection"] == "close")
            let isCounted = await eventually {
                server.recorder.count { if case .request(_, _, _, 503, _, _, .timeout, _) = $0 { true } else { false } } == 1
            }
            #expect(isCounted)
        }
    }

    @Test func aBodyThatDripsAndWasRefusedIsCutOff() async throws {
        try await EdgeServer.run(Self.routes, limits: Self.impatient) { server in
            let answer = try await Self.drip(to: server, Wire.request("/ok", ["Content-Length: 60"]), " ")
            #expect(answer?.code == "body_not_allowed")
        }
    }

    /// Sends byte after byte until the server takes no more, and reads meanwhile; its answer, if there was one.
    @discardableResult
    private static func drip(to server: EdgeServer, _ start: String, _ byte: String) async throws -> Wire.Answer? {
        try await server.connect { wire in
            try await wire.send(start)
            let writer = wire.writer
            let dripping = Task {
                var bytes = 0
                while try await writer.send(byte) {
                    bytes += 1
                    try #require(bytes < 1000)
                    // A byte now and then keeps the connection from being silent.
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            let answer = try await wire.answer()
            try await dripping.value
            return answer
        }
    }

    @Test func aReaderThatHasStoppedIsClosed() async throws {
        try await EdgeServer.run(Self.routes, limits: Self.impatient) { server in
            try await server.connect { wire in
                try await wire.send(Wire.request("/large"))
                // Nothing is read; the server alone can end this.
                var bytes = 0
                while try await wire.send(" ") {
                    bytes += 1
                    try #require(bytes < 1000)
                    // So that the 1,000 bytes last longer than the server has patience.
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
        }
    }

    // MARK: Many

    @Test func anAddressHasOnlySoManyConnections() async throws {
        var limits = EdgeLimits()
        limits.connectionsPerAddress = 2
        try await EdgeServer.run(Self.routes, limits: limits) { server in
            try await server.connect { first in
                try await server.connect { second in
                    for wire in [first, second] { try await wire.send(Wire.request("/ok")) }
                    #expect(try await first.answer()?.status == 200)
                    #expect(try await second.answer()?.status == 200)
                    let isClosed = try await server.connect { third in try await third.isClosed() }
                    #expect(isClosed)
                }
                let isOpen = try await eventually { try await server.answer("/ok")?.status == 200 }
                #expect(isOpen)
            }
        }
    }

    @Test func aProxyHasAsManyConnectionsAsItNeeds() async throws {
        var (limits, trust) = (EdgeLimits(), EdgeTrust())
        limits.connectionsPerAddress = 1
        trust.proxies = [try #require(AddressBlock("127.0.0.1"))]
        try await EdgeServer.run(Self.routes, limits: limits, trust: trust) { server in
            try await server.connect { first in
                try await first.send(Wire.request("/ok"))
                #expect(try await first.answer()?.status == 200)
                #expect(try await server.answer("/ok")?.status == 200)
            }
        }
    }
}
