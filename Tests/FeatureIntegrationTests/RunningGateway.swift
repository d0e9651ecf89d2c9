import AsyncHTTPClient
import Contract
import Credentials
import DataPlane
import Foundation
import NIOCore
import NIOHTTP1
import PostgresClient
import TestSupport
import Testing

@testable import Gateway
@testable import Identity

/// The whole gateway as `serve` runs it, in this process, over the databases of a test.
struct RunningGateway: Sendable {
    let service: GatewayService
    let base: String
    let client: HTTPClient

    /// Runs one for `body`. `settings` are by variable, without `KABABEAT_`.
    static func run(_ stack: Stack, _ settings: [String: String] = [:], _ body: (RunningGateway) async throws -> Void) async throws {
        let port = try closedPort()
        let service = try GatewayService(settings: Self.settings(stack, settings.merging(["HTTP_PORT": "\(port)"]) { given, _ in given }))
        try await service.prepare()
        let serving = Task { try await service.run() }
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout = .init(connect: .seconds(10), read: .seconds(20))
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let gateway = RunningGateway(service: service, base: "http://127.0.0.1:\(port)", client: client)
        let outcome: Result<Void, any Error>
        do {
            try #require(await eventually { (try? await gateway.send("GET", "/health/live"))?.status == 200 })
            outcome = .success(try await body(gateway))
        } catch {
            outcome = .failure(error)
        }
        try await client.shutdown()
        serving.cancel()
        _ = await serving.result
        try outcome.get()
    }

    /// What it takes to work on the databases of a test, and `more`, by variable, without `KABABEAT_`.
    static func settings(_ stack: Stack, _ more: [String: String] = [:]) throws -> Settings {
        let defaults = [
            "ENVIRONMENT": "development", "POSTGRES_HOST": stack.server.host,
            "POSTGRES_PORT": "\(stack.server.port)", "POSTGRES_DATABASE": stack.name, "POSTGRES_USER": Stack.role,
            "POSTGRES_PASSWORD": Stack.password, "MONGO_URI": stack.mongoURI, "MONGO_DATABASE": stack.name, "REDIS_ENABLED": "false",
            "LIMITS_ENABLED": "false", "OPENAPI_FILE": "\(Stack.root)/openapi.yaml", "SQL_DIRECTORY": "\(Stack.root)/sql",
            "MONGO_DIRECTORY": "\(Stack.root)/mongo", "LOG_LEVEL": "error",
        ]
        return try Settings(
            environment: Dictionary(uniqueKeysWithValues: defaults.merging(more) { $1 }.map { ("KABABEAT_\($0.key)", $0.value) }))
    }

    struct Answer: Sendable {
        let status: Int
        let fields: HTTPHeaders
        let body: String

        /// The `code` of a problem document; empty for anything else.
        var code: String {
            let object = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
            return object?["code"] as? String ?? ""
        }
    }

    /// Sends one request. `body` is JSON.
    func send(
        _ method: String, _ path: String, bearer: String? = nil, fields: [String: String] = [:], body: String? = nil
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: base + path)
        request.method = HTTPMethod(rawValue: method)
        if let bearer { request.headers.add(name: "Authorization", value: "Bearer \(bearer)") }
        for (name, value) in fields { request.headers.add(name: name, value: value) }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: body))
        }
        let response = try await client.execute(request, timeout: .seconds(30))
        let bytes = try await response.body.collect(upTo: 8 << 20)
        return Answer(status: Int(response.status.code), fields: response.headers, body: String(buffer: bytes))
    }
}
