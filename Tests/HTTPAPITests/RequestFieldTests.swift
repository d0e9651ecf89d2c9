import Contract
import HTTPAPI
import NIOCore
import TestSupport
import Testing

/// What a request's header says of its body, of its connection and of caches, sent as bytes to a server that listens.
@Suite(.timeLimit(.minutes(1))) struct RequestFieldTests {
    private static let routes: [Route] = [
        .get("/fresh", .anyone) { call throws(Problem) in .json(Array((call.bypassesCache ? #""bypass""# : #""handler""#).utf8)) }
            .first { call throws(Problem) in call.bypassesCache ? nil : .json(Array(#""at hand""#.utf8)) },
        .post("/write", .anyone, body: .json(limit: 64)) { call throws(Problem) in
            var input = try call.input(allowed: ["a"])
            let text = input.text("a", 0...64) ?? "nothing"
            try input.check()
            return Reply(contentType: "text/plain", body: ByteBuffer(string: text))
        },
    ]
    private static let chunks = "9\r\n{\"a\":\"b\"}\r\n0\r\n\r\n"

    // MARK: Bodies

    @Test(arguments: ["gzip, chunked", "GZIP , chunked", "identity, chunked", ", chunked"])
    func aTransferCodingThatIsNotUndoneIsSaidAndIsTheLastOnItsConnection(_ coding: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                let fields = ["Content-Type: application/json", "Transfer-Encoding: \(coding)"]
                try await wire.send(Wire.request("/write", fields, method: "POST") + Self.chunks + Wire.request("/fresh"))
                let answer = try #require(try await wire.answer())
                #expect(answer.status == 501 && answer.code == "unsupported_transfer_coding" && answer["connection"] == "close")
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test(arguments: ["chunked", "Chunked"])
    func theOneTransferCodingIsKnownInAnyCase(_ coding: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                let fields = ["Content-Type: application/json", "Transfer-Encoding: \(coding)"]
                try await wire.send(Wire.request("/write", fields, method: "POST") + Self.chunks)
                #expect(try await wire.answer()?.body == "b")
            }
        }
    }

    @Test(arguments: ["gzip", "identity, gzip", "x-unknown"])
    func aBodyThatIsEncodedIsNotReadAsJSON(_ coding: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            let answer = try #require(
                try await server.answer("/write", "Content-Encoding: \(coding)", method: "POST", body: #"{"a":"b"}"#))
            #expect(answer.status == 415 && answer.code == "unsupported_media_type" && answer["accept-encoding"] == "identity")
            let plain = try await server.answer("/write", "Content-Encoding: Identity", method: "POST", body: #"{"a":"b"}"#)
            #expect(plain?.body == "b")
        }
    }

    // MARK: HTTP/1.0

    @Test(arguments: ["", "Connection: keep-alive\r\n", "Connection: close\r\n"])
    func aConnectionOfHTTP10EndsWithItsAnswer(_ fields: String) async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send("GET /fresh HTTP/1.0\r\nHost: x\r\n\(fields)\r\n" + Wire.request("/fresh"))
                let answer = try #require(try await wire.answer())
                #expect(answer.status == 200 && answer["connection"] == "close")
                #expect(try await wire.isClosed())
            }
        }
    }

    @Test func aConnectionOfHTTP10EndsWithARefusalToo() async throws {
        try await EdgeServer.run(Self.routes) { server in
            try await server.connect { wire in
                try await wire.send("GET /nowhere HTTP/1.0\r\n\r\n")
                #expect(try await wire.answer()?.status == 400)
                #expect(try await wire.isClosed())
            }
        }
    }

    // MARK: Caches

    @Test(arguments: [
        ("no-cache", true), ("No-Cache", true), ("max-age=0, NO-STORE", true), ("no-cache=\"X\"", true), ("max-age=0", false),
        ("x-no-cache", false), ("no-cached", false),
    ])
    func theDirectiveThatLeadsPastCachesIsKnownInAnyCase(_ directives: String, _ bypasses: Bool) async throws {
        try await EdgeServer.run(Self.routes) { server in
            let answer = try await server.answer("/fresh", "Cache-Control: \(directives)")
            #expect(answer?.body == (bypasses ? #""bypass""# : #""at hand""#))
        }
    }
}
