import Contract
import Logging
import Synchronization
import Testing

@testable import Observability

/// Keeps what is logged, message and metadata as one text.
private struct KeepingHandler: LogHandler {
    final class Kept: Sendable {
        let lines = Mutex<[(level: Logger.Level, text: String)]>([])
    }

    let kept: Kept
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        kept.lines.withLock { $0.append((event.level, ([event.message.description] + metadata).joined(separator: " "))) }
    }
}

@Suite struct EventLoggerTests {
    private let id = RequestID(rawValue: 0xAB)

    private func logged(_ observations: [Observation], at level: Logger.Level = .trace) -> [(level: Logger.Level, text: String)] {
        let kept = KeepingHandler.Kept()
        let logger = EventLogger(Logger(label: "test") { _ in KeepingHandler(kept: kept, logLevel: level) })
        for observation in observations { logger.observe(observation) }
        return kept.lines.withLock { $0 }
    }

    private func request(_ path: String, _ status: Int, _ problem: Problem.Code? = nil, microseconds: Int64 = 10) -> Observation {
        .request(route: 0, method: "GET", path: path, status: status, microseconds: microseconds, id: id, problem: problem)
    }

    @Test func aQueryStringNeverReachesTheLog() {
        let lines = logged([request("/api/beats?search=SECRET&token=SECRET", 500, .internal), request("/a?b?c=SECRET", 200)])
        #expect(lines.count == 2)
        for line in lines { #expect(!line.text.contains("SECRET") && !line.text.contains("?")) }
        #expect(
            lines.first?.text == "request method=GET microseconds=10 path=/api/beats problem=internal requestId=00000000000000ab status=500"
        )
    }

    @Test func aRequestThatFailedWithOthersNamesTheEntryThatSaysWhy() {
        let cause = RequestID(rawValue: 0xCD)
        let lines = logged([
            .unexpectedError(id: cause, detail: "mongo: a field is missing"),
            .request(route: 0, method: "GET", path: "/a", status: 500, microseconds: 1, id: id, problem: .internal, cause: cause),
        ])
        #expect(lines.map { $0.text.contains("=00000000000000cd") } == [true, true])
        #expect(lines.last?.text.contains("requestId=00000000000000ab") == true)
    }

    @Test func whatWentWellIsLoggedOnlyForDebugging() {
        #expect(logged([request("/a", 200), request("/a", 404, .notFound)], at: .info).isEmpty)
        #expect(logged([request("/a", 200)], at: .debug).map(\.level) == [.debug])
    }

    @Test func failuresAndSlownessAreWorthALineAndRefusedOverloadIsNot() {
        let lines = logged(
            [
                request("/a", 503, .storeUnavailable), request("/a", 503, .overloaded), request("/a", 200, microseconds: 500_001),
                .unexpectedError(id: id, detail: "d"), .relayFailed(.mongo, detail: "d"), .lifecycle("stopped"), .storeNote(.redis, "n"),
            ], at: .info)
        #expect(lines.map(\.level) == [.warning, .notice, .error, .warning, .notice, .notice])
    }

    @Test func whatIsOnlyCountedIsNotLogged() {
        let counted: [Observation] = [
            .cacheLookup(.l1), .cacheFillRefused, .cacheInvalidated(count: 1), .batch(kind: "k", size: 1, microseconds: 1),
            .storeCall(.mongo, microseconds: 1, failed: true), .relayDelivered(count: 1, microseconds: 1),
        ]
        #expect(logged(counted).isEmpty)
    }
}
