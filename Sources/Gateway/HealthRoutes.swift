import Contract
import DataPlane
import HTTPAPI
import HTTPTypes
import JSON
import NIOCore
import Observability

/// How the gateway is, for those who run it.
///
/// | method | path | policy |
/// | --- | --- | --- |
/// | GET | /health/live | anyone |
/// | GET | /health/ready | anyone |
/// | GET | /metrics | anyone at an address of `metrics.from` |
/// | GET | /openapi.yaml | anyone |
struct HealthRoutes: Sendable {
    let stores: Stores
    let trust: EdgeTrust
    let metricsText: @Sendable () -> String
    let openAPI: ByteBuffer

    private static let patience = Duration.milliseconds(500)
    /// Everybody may ask at any rate; the stores are asked once in a while.
    private let answers = PageCache<String, Reply>(capacity: 1, lifetime: .milliseconds(250))

    init(stores: Stores, trust: EdgeTrust, metricsText: @escaping @Sendable () -> String, openAPI: ByteBuffer) {
        self.stores = stores
        self.trust = trust
        self.metricsText = metricsText
        self.openAPI = openAPI
    }

    var routes: [Route] {
        [
            .get("/health/live", .anyone, rate: .unlimited) { call throws(Problem) in
                _ = try call.query(allowed: [])
                return .json(Array(#"{"status":"live"}"#.utf8))
            },
            .get("/health/ready", .anyone, rate: .unlimited) { call throws(Problem) in
                _ = try call.query(allowed: [])
                return try await answers.value(for: "ready") { await ready() }.value
            },
            .get("/metrics", .anyone, rate: .unlimited) { call throws(Problem) in
                guard trust.isWatcher(call) else { throw .forbidden }
                _ = try call.query(allowed: [])
                return Reply(contentType: "text/plain; version=0.0.4; charset=utf-8", body: ByteBuffer(string: metricsText()))
            },
            .get("/openapi.yaml", .anyone) { call throws(Problem) in
                _ = try call.query(allowed: [])
                return Reply(contentType: "application/yaml", body: openAPI)
            },
        ]
    }

    /// Ready means that every read can be answered: Redis may be missing.
    private func ready() async -> Reply {
        async let postgres = stores.isUp(.postgres, within: Self.patience)
        async let mongo = stores.isUp(.mongo, within: Self.patience)
        async let redis = stores.isUp(.redis, within: Self.patience)
        let states = [(StoreName.postgres, await postgres), (.mongo, await mongo), (.redis, await redis)]
        let isReady = states.allSatisfy { $0.1 || $0.0 == .redis }
        var json = JSONWriter()
        json.object { json in
            json.key("status")
            json.string(isReady ? "ready" : "unavailable")
            json.key("stores")
            json.object { json in
                for (store, isUp) in states {
                    json.key(store.rawValue)
                    json.string(store == .redis && stores.redis == nil ? "off" : isUp ? "up" : "down")
                }
            }
        }
        var reply = Reply.json(json.bytes)
        if !isReady { reply.status = .serviceUnavailable }
        return reply
    }
}
