import Contract
import Testing

@testable import Observability

@Suite struct MetricsTests {
    private let id = RequestID(rawValue: 1)

    private func request(_ route: Int, _ status: Int, _ microseconds: Int64 = 1000) -> Observation {
        .request(route: route, method: "GET", path: "/x", status: status, microseconds: microseconds, id: id, problem: nil)
    }

    /// `name{labels}` to value.
    private func samples(_ text: String) -> [Substring: Double] {
        var samples: [Substring: Double] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let blank = line.lastIndex(of: " "), let value = Double(line[line.index(after: blank)...]) else {
                Issue.record("not a sample: \(line)")
                continue
            }
            #expect(samples.updateValue(value, forKey: line[..<blank]) == nil, "stands twice: \(line)")
        }
        return samples
    }

    @Test func whatIsObservedIsCounted() {
        let metrics = Metrics(routes: ["GET /a", "GET /b"])
        for observation in [
            request(0, 200), request(0, 200), request(0, 404), request(1, 503), request(-1, 404), request(9, 404), .cacheLookup(.l1),
            .cacheLookup(.l2), .cacheLookup(.l1), .cacheFillRefused, .cacheInvalidated(count: 3),
            .relayDelivered(count: 5, microseconds: 1),
            .relayFailed(.mongo, detail: "x"), .unexpectedError(id: nil, detail: "x"), .storeCall(.mongo, microseconds: 1, failed: true),
            .storeCall(.mongo, microseconds: 1, failed: false), .batch(kind: "beat_core", size: 16, microseconds: 200),
            .storeNote(.redis, "x"), .lifecycle("x"),
        ] { metrics.observe(observation) }
        let samples = samples(metrics.text)
        let expected: [(Substring, Double)] = [
            (#"kababeat_http_requests_total{route="GET /a",status="200"}"#, 2),
            (#"kababeat_http_requests_total{route="GET /a",status="404"}"#, 1),
            (#"kababeat_http_requests_total{route="GET /b",status="503"}"#, 1),
            (#"kababeat_http_requests_total{route="unmatched",status="404"}"#, 2), (#"kababeat_cache_lookups_total{tier="l1"}"#, 2),
            (#"kababeat_cache_lookups_total{tier="miss"}"#, 0), ("kababeat_cache_fills_refused_total", 1),
            ("kababeat_cache_announcements_total", 3), ("kababeat_outbox_delivered_total", 5), ("kababeat_outbox_failures_total", 1),
            ("kababeat_unexpected_errors_total", 1), (#"kababeat_store_call_failures_total{store="mongo"}"#, 1),
            (#"kababeat_store_call_duration_seconds_count{store="mongo"}"#, 2),
            (#"kababeat_batch_size_bucket{kind="beat_core",le="16"}"#, 1),
            (#"kababeat_batch_size_bucket{kind="beat_core",le="8"}"#, 0), (#"kababeat_batch_size_sum{kind="beat_core"}"#, 16),
        ]
        for (name, value) in expected { #expect(samples[name] == value, "\(name)") }
    }

    @Test func everyFamilyHasItsHelpAndTypeOnceAndItsSamplesTogether() {
        let metrics = Metrics(routes: ["GET /a"])
        for store in StoreName.allCases { metrics.observe(.storeCall(store, microseconds: 5, failed: true)) }
        metrics.observe(request(0, 200))
        metrics.register { [.init("kababeat_pool", "P.", labels: [("store", "a")], 1)] }
        metrics.register { [.init("kababeat_pool", "P.", labels: [("store", "b")], 2), .init("kababeat_other", "O.", 3)] }
        var seen = Set<Substring>()
        var family: Substring = ""
        for line in metrics.text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if line.hasPrefix("# HELP ") {
                family = words[2]
                #expect(seen.insert(family).inserted, "\(family) stands twice")
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == family && ["counter", "gauge", "histogram"].contains(words[3]))
            } else {
                #expect(line.hasPrefix(family), "\(line) stands under \(family)")
            }
        }
        #expect(metrics.text.hasSuffix("\n"))
        #expect(metrics.text.contains("kababeat_pool{store=\"a\"} 1\nkababeat_pool{store=\"b\"} 2\n"))
    }

    @Test func histogramsAreCumulativeAndEndWithEverything() {
        let histogram = Histogram(Histogram.seconds)
        for microseconds in [Int64(0), 100, 101, 1000, 4_999_999, 5_000_000, 5_000_001, 60_000_000] {
            histogram.add(microseconds: microseconds)
        }
        var text = PrometheusText()
        text.histogram("h", [], histogram)
        let samples = samples(text.text)
        #expect(samples["h_bucket{le=\"0.0001\"}"] == 2)
        #expect(samples["h_bucket{le=\"0.00025\"}"] == 3)
        #expect(samples["h_bucket{le=\"0.001\"}"] == 4)
        #expect(samples["h_bucket{le=\"5\"}"] == 6)
        #expect(samples["h_bucket{le=\"+Inf\"}"] == 8 && samples["h_count"] == 8)
        #expect(abs((samples["h_sum"] ?? 0) - 75.001201) < 1e-9)
        #expect(histogram.cumulative == histogram.cumulative.sorted())
    }

    @Test func labelsAreEscapedAsTheFormatDemands() {
        var text = PrometheusText()
        text.sample("a", [("x", "back\\slash \"quote\" new\nline")], 1.5)
        text.sample("a", [], 1e15)
        #expect(text.text == "a{x=\"back\\\\slash \\\"quote\\\" new\\nline\"} 1.5\na 1000000000000000\n")
    }
}
