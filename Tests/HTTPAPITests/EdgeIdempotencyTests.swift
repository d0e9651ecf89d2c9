import Contract
import HTTPAPI
import HTTPTypes
import NIOCore
import Synchronization
import TestSupport
import Testing

/// What the edge asks of whoever keeps keys, and what it makes of the answers. That keys are kept as they should be is looked at in
/// Tests/FeatureIntegrationTests/IdempotencyTests.swift, over the real database.
@Suite(.timeLimit(.minutes(1))) struct EdgeIdempotencyTests {
    private static let user = Account(
        id: EntityID(rawValue: 1), sessionID: nil, roles: [.user], isVerified: true, hasSecondFactor: false)

    private struct Desk: Authenticator {
        func principal(for credential: PresentedCredential) async throws(Problem) -> Principal { .account(EdgeIdempotencyTests.user) }
    }

    /// Says the same of every key, and writes down what it is asked.
    private final class Keys: IdempotencyKeys {
        struct Asked: Equatable {
            let key: String
            let fingerprint: [UInt8]
        }

        let asked = Mutex<[Asked]>([])
        let outcomes = Mutex<[IdempotencyOutcome]>([])
        private let verdict: Result<KeptAnswer?, Problem>
        private let isCarriedOut: Bool
        static let effect = EntityID(rawValue: 7)

        init(_ verdict: Result<KeptAnswer?, Problem> = .success(nil), isCarriedOut: Bool = false) {
            self.verdict = verdict
            self.isCarriedOut = isCarriedOut
        }

        func claim(
            _ key: IdempotencyKey, for principal: Principal, fingerprint: [UInt8], lease: Duration
        ) async throws(Problem) -> IdempotencyVerdict {
            asked.withLock { $0.append(Asked(key: key.description, fingerprint: fingerprint)) }
            if let answer = try verdict.get() { return .answered(answer) }
            return .carryOut(
                IdempotencyClaim(principal: principal, key: key, token: .now, effect: Self.effect, isCarriedOut: isCarriedOut))
        }

        func settle(_ claim: IdempotencyClaim, _ outcome: IdempotencyOutcome) async throws(Problem) {
            outcomes.withLock { $0.append(outcome) }
        }
    }

    private static let routes: [Route] = [
        .post("/make", .signedIn) { call throws(Problem) in
            let text = "\(call.idToMake()) \(call.claim?.isCarriedOut == true)"
            var reply = Reply(
                status: .created, contentType: "text/plain", body: ByteBuffer(string: text), etag: "\"e\"",
                extraFields: [(.location, "/made")])
            if call.field(.accept) == "cookie" { reply.cookies = [SetCookie(SessionCookie.access, "secret", lifetime: .seconds(60))] }
            if call.field(.accept) == "much" { reply.body = ByteBuffer(repeating: 0x41, count: KeptAnswer.mostBytes + 1) }
            return reply
        },
        .post("/refuse", .signedIn) { _ throws(Problem) in throw Problem(.conflict, "No.") },
        .post("/fail", .signedIn) { _ throws(Problem) in throw .unavailable(.postgres) },
        .post("/pay", .signedIn, idempotency: .required) { _ throws(Problem) in .done },
        .post("/secret", .signedIn, idempotency: .ignored) { _ throws(Problem) in .done },
        .post("/anyone", .anyone) { _ throws(Problem) in .done },
        .put("/put", .signedIn) { _ throws(Problem) in .done },
    ]

    /// Sends one request as the user, with a key unless `key` is nil.
    private static func send(
        _ path: String, _ fields: String..., method: String = "POST", key: String? = "k", body: String = "{}", to keys: Keys
    ) async throws -> Wire.Answer {
        var lines = ["Authorization: Bearer user"] + fields
        if let key { lines.append("Idempotency-Key: \(key)") }
        let request = Wire.request(path, lines, method: method, body: body)
        let answer = Mutex<Wire.Answer?>(nil)
        try await EdgeServer.run(routes, authenticator: Desk(), keys: keys) { server in
            let one = try await server.connect { wire in
                try await wire.send(request)
                return try await wire.answer()
            }
            answer.withLock { $0 = one }
        }
        return try #require(answer.withLock { $0 })
    }

    private static func outcomes(of path: String, _ field: String = "Accept: all") async throws -> [IdempotencyOutcome] {
        let keys = Keys()
        _ = try await send(path, field, to: keys)
        return keys.outcomes.withLock { $0 }
    }

    // MARK: Who has a key

    @Test(arguments: [("/make", 201), ("/pay", 400), ("/secret", 204), ("/anyone", 204)])
    func withoutAKeyNothingIsClaimed(_ path: String, _ status: Int) async throws {
        let keys = Keys()
        let answer = try await Self.send(path, key: nil, to: keys)
        #expect(answer.status == status && keys.asked.withLock { $0 } == [])
        if status == 400 { #expect(answer.body.contains(#"{"field":"Idempotency-Key","detail":"is missing"}"#)) }
    }

    @Test(arguments: [("/secret", "POST"), ("/anyone", "POST"), ("/put", "PUT")])
    func whereKeysMeanNothingNoneIsLookedAt(_ path: String, _ method: String) async throws {
        let keys = Keys()
        let answer = try await Self.send(path, method: method, key: "not, one", to: keys)
        #expect(answer.status == 204 && keys.asked.withLock { $0 } == [])
    }

    @Test(arguments: ["a, b", #""a"#, String(repeating: "k", count: 256)])
    func whatIsNoKeyIsRefused(_ key: String) async throws {
        let keys = Keys()
        let answer = try await Self.send("/make", key: key, to: keys)
        #expect(answer.status == 400 && answer.code == "invalid_request" && keys.asked.withLock { $0 } == [])
    }

    @Test func twoKeysAreNone() async throws {
        let answer = try await Self.send("/make", "Idempotency-Key: j", to: Keys())
        #expect(answer.status == 400)
    }

    @Test func aRequestIsToldFromOthersByItsPathItsQueryAndItsBody() async throws {
        let keys = Keys()
        for (path, body) in [("/make", "{}"), ("/make", "{}"), ("/make", "{ }"), ("/make?a=b", "{}"), ("/pay", "{}")] {
            _ = try await Self.send(path, key: #""k""#, body: body, to: keys)
        }
        let asked = keys.asked.withLock { $0 }
        #expect(asked.allSatisfy { $0.key == "k" && $0.fingerprint.count == 32 })
        #expect(asked[0] == asked[1] && Set(asked.map(\.fingerprint)).count == 4)
    }

    // MARK: What is kept

    @Test func whatWasDoneIsKeptAsItWasSent() async throws {
        let outcomes = try await Self.outcomes(of: "/make")
        let fields = [KeptAnswer.Field("Location", "/made"), .init("Content-Type", "text/plain"), .init("ETag", "\"e\"")]
        #expect(outcomes == [.answered(KeptAnswer(status: 201, fields: fields, body: Array("\(Keys.effect) false".utf8)))])
    }

    @Test func aRefusalIsHandedOverAsItIsSent() async throws {
        guard case .refused(let answer)? = try await Self.outcomes(of: "/refuse").first else {
            Issue.record("not handed over")
            return
        }
        #expect(answer.status == 409 && answer.fields == [.init("Content-Type", "application/problem+json")])
        #expect(String(decoding: answer.body, as: UTF8.self).contains(#""detail":"No.""#))
    }

    @Test(arguments: [("/fail", "Accept: all"), ("/make", "Accept: cookie"), ("/make", "Accept: much")])
    func whatFailedAndWhatHoldsASecretOrTooMuchIsCarriedOutAgain(_ path: String, _ field: String) async throws {
        #expect(try await Self.outcomes(of: path, field) == [.open])
    }

    // MARK: What is answered

    @Test func anAnswerIsSentAgainByteForByteAndSaysSo() async throws {
        let kept = KeptAnswer(
            status: 201, fields: [.init("Content-Type", "text/plain"), .init("ETag", "\"e\""), .init("Location", "/made")],
            body: Array("made".utf8))
        let answer = try await Self.send("/make", to: Keys(.success(kept)))
        #expect(answer.status == 201 && answer.body == "made" && answer["content-type"] == "text/plain" && answer["etag"] == "\"e\"")
        #expect(answer["location"] == "/made" && answer["idempotency-replayed"] == "true" && answer["cache-control"] == "no-store")
    }

    @Test func aRequestThatIsResumedHasTheIdThatItHadAndKnowsThatItWasCarriedOut() async throws {
        let answer = try await Self.send("/make", to: Keys(isCarriedOut: true))
        #expect(answer.body == "\(Keys.effect) true" && answer["idempotency-replayed"] == nil)
    }

    @Test(arguments: [(Problem.Code.idempotencyKeyReused, 422, nil), (.idempotencyKeyInUse, 409, "2")] as [(Problem.Code, Int, String?)])
    func whatTheKeyIsNotForIsNotCarriedOut(_ code: Problem.Code, _ status: Int, _ retryAfter: String?) async throws {
        let keys = Keys(.failure(Problem(code, "No.", retryAfter: retryAfter.flatMap { Int($0) })))
        let answer = try await Self.send("/make", to: keys)
        #expect(answer.status == status && answer.code == code.rawValue && answer["retry-after"] == retryAfter)
        #expect(keys.outcomes.withLock { $0 } == [])
    }
}
