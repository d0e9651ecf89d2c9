import MongoClient
import Testing

/// One at a time, since they measure time; with bounds far above what they take, since other tests share the machine.
@Suite(.enabled(if: MongoTestServer.isThere), .serialized) struct MongoFaultTests {
    /// A client on the far side of a proxy, with short bounds.
    private func withProxy(
        socketTimeout: Duration = .milliseconds(500), _ body: (MongoClient, TCPProxy) async throws -> Void
    ) async throws {
        let proxy = try TCPProxy(target: try MongoTestServer.port())
        defer { proxy.stop() }
        let uri = try MongoTestServer.uri(throughPort: proxy.port)
        try await withMongo {
            $0.uri = uri
            $0.socketTimeout = socketTimeout
            $0.serverSelectionTimeout = .milliseconds(500)
        } _: { client in
            try await client.run(deadline: soon) { try $0.insertMany("c", [["_id": 1]]) }
            // The database is dropped through the proxy too.
            defer {
                proxy.resume()
                proxy.accept()
            }
            try await body(client, proxy)
        }
    }

    private func read(_ client: MongoClient, within limit: Duration) async throws -> Bool {
        try await client.run(deadline: .now + limit) { try $0.findOne("c", ["_id": 1]) } != nil
    }

    /// How long until a read succeeds again, each try bounded.
    private func timeToHeal(_ client: MongoClient) async throws -> Duration {
        let start = ContinuousClock.now
        while start.duration(to: .now) < .seconds(10) {
            if (try? await read(client, within: .seconds(1))) == true { break }
        }
        return start.duration(to: .now)
    }

    @Test func aCutConnectionCostsNoReadAndNoWrite() async throws {
        try await withProxy { client, proxy in
            for number in 0..<5 {
                proxy.cutAll()
                #expect(try await read(client, within: .seconds(5)))
                proxy.cutAll()
                let write = try await client.run(deadline: .now + .seconds(5)) { session in
                    try session.updateOne("c", ["_id": .int64(Int64(100 + number))], ["$inc": ["n": 1]], upsert: true)
                }
                #expect(write.isUpserted)
            }
        }
    }

    @Test func aServerThatIsGoneIsUnavailableInTimeAndServesAtOnceWhenItIsBack() async throws {
        try await withProxy { client, proxy in
            proxy.refuse()
            proxy.cutAll()
            for _ in 0..<3 {
                let start = ContinuousClock.now
                let error = await mongoError { try await read(client, within: .seconds(3)) }
                #expect(error?.isUnavailable == true)
                #expect(start.duration(to: .now) < .seconds(2))
            }
            proxy.accept()
            let took = try await timeToHeal(client)
            #expect(took < .seconds(5), "\(took)")
        }
    }

    @Test func aFrozenServerAnswersEveryCallerAtItsDeadlineAndFillsNoQueue() async throws {
        try await withProxy { client, proxy in
            proxy.stall()
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: (MongoError.Code?, Duration).self) { group in
                for wave in 0..<10 {
                    for _ in 0..<20 {
                        group.addTask {
                            // A wave begins before the last one has given up: callers that were kept waiting would fill the queue.
                            try await Task.sleep(until: start + .milliseconds(wave * 100))
                            let began = ContinuousClock.now
                            let error = await mongoError { try await read(client, within: .milliseconds(200)) }
                            return (error?.code, began.duration(to: .now))
                        }
                    }
                }
                for try await (code, took) in group {
                    #expect(code == .timeout || code == .unavailable)
                    #expect(took < .seconds(2), "\(took)")
                }
            }
            #expect(client.state().queued == 0)
            proxy.resume()
            let took = try await timeToHeal(client)
            #expect(took < .seconds(2), "\(took)")
        }
    }

    @Test func aThreadComesBackFromAFrozenServerWithinTheSocketTimeoutAndAConnectionAttempt() async throws {
        try await withProxy { client, proxy in
            proxy.stall()
            let start = ContinuousClock.now
            _ = await mongoError { try await read(client, within: .milliseconds(50)) }
            #expect(client.state().busy == 1)
            try await eventually("the thread is back") { client.state().busy == 0 }
            #expect(start.duration(to: .now) < .seconds(3))
        }
    }

    @Test func aClientStartsWithoutAServerAndFindsItLater() async throws {
        let proxy = try TCPProxy(target: try MongoTestServer.port())
        defer { proxy.stop() }
        proxy.refuse()
        var configuration = MongoTestServer.configuration(try MongoTestServer.uri(throughPort: proxy.port))
        configuration.serverSelectionTimeout = .milliseconds(300)
        let client = try MongoClient(configuration)
        #expect(await mongoError { try await client.ping(deadline: soon) }?.code == .unavailable)
        proxy.accept()
        let start = ContinuousClock.now
        while await mongoError({ try await client.ping(deadline: soon) }) != nil, start.duration(to: .now) < .seconds(10) {}
        #expect(start.duration(to: .now) < .seconds(2))
        await client.shutdown()
    }

    @Test func theDriversLogGoesToTheObserver() async throws {
        let heard = Shared<[String]>([])
        try await withMongo(
            observe: { event in
                if case .log(.warning, _, let message) = event { heard.change { $0.append(message) } }
            },
            { _ in
                // An option it does not know makes the driver speak up.
                let uri = try #require(MongoTestServer.uri) + "&noSuchOption=1"
                try await MongoClient(MongoTestServer.configuration(uri)).shutdown()
            })
        #expect(heard.now.contains { $0.lowercased().contains("nosuchoption") })
    }
}
