import Contract
import Synchronization

/// Counts what is observed, and writes it as Prometheus text (exposition format 0.0.4).
///
/// Everything on a hot path is an atomic addition. Labels are routes, statuses, tiers, stores and batch kinds: few, and none comes
/// from a client.
public final class Metrics: Observer {
    private let routes: [String]
    private let requests: [RouteCounters]
    private let cache: [Counter]
    private let cacheFillsRefused = Counter()
    private let invalidations = Counter()
    private let storeCalls: [Histogram]
    private let storeFailures: [Counter]
    private let relayed = Counter()
    private let relayFailures = Counter()
    private let relayRefusals = Counter()
    private let mailsSent = Counter()
    private let unexpected = Counter()
    private let rateLimited = RateClass.allCases.map { _ in RateSubjectKind.allCases.map { _ in Counter() } }
    private let rateLimitFallbacks = RateClass.allCases.map { _ in Counter() }
    private let mismatches = Mutex<[[String]: Int]>([:])
    private let redelivered = Counter()
    private let batches = Mutex<[String: (sizes: Histogram, times: Histogram)]>([:])
    private let gauges = Mutex<[@Sendable () -> [Gauge]]>([])

    /// A value that is read when the metrics are.
    public struct Gauge: Sendable {
        let name: String
        let help: String
        let labels: [(String, String)]
        let value: Double

        public init(_ name: String, _ help: String, labels: [(String, String)] = [], _ value: Double) {
            self.name = name
            self.help = help
            self.labels = labels
            self.value = value
        }
    }

    /// `routes` are the route names in the order of their indices; requests of none are counted under `unmatched`.
    public init(routes: [String]) {
        self.routes = routes + ["unmatched"]
        requests = self.routes.map { _ in RouteCounters() }
        cache = CacheTier.allCases.map { _ in Counter() }
        storeCalls = StoreName.allCases.map { _ in Histogram(Histogram.seconds) }
        storeFailures = StoreName.allCases.map { _ in Counter() }
    }

    /// Adds gauges that `read` brings whenever the metrics are written.
    public func register(_ read: @escaping @Sendable () -> [Gauge]) {
        gauges.withLock { $0.append(read) }
    }

    public func observe(_ observation: Observation) {
        switch observation {
        case .request(let route, _, _, let status, let microseconds, _, _, _):
            requests[requests.indices.contains(route) ? route : requests.count - 1].add(status, microseconds)
        case .cacheLookup(let tier): cache[Self.index(tier)].add(1)
        case .cacheFillRefused: cacheFillsRefused.add(1)
        case .cacheInvalidated(let count): invalidations.add(count)
        case .batch(let kind, let size, let microseconds):
            let histograms = batches.withLock { batches in
                if let known = batches[kind] { return known }
                let new = (sizes: Histogram(Histogram.sizes), times: Histogram(Histogram.seconds))
                batches[kind] = new
                return new
            }
            histograms.sizes.add(size)
            histograms.times.add(microseconds: microseconds)
        case .storeCall(let store, let microseconds, let failed):
            storeCalls[Self.index(store)].add(microseconds: microseconds)
            if failed { storeFailures[Self.index(store)].add(1) }
        case .relayDelivered(let count, _): relayed.add(count)
        case .relayFailed: relayFailures.add(1)
        case .relayRefused: relayRefusals.add(1)
        case .mailSent: mailsSent.add(1)
        case .unexpectedError: unexpected.add(1)
        case .rateLimited(let rateClass, let kind): rateLimited[rateClass.index][kind.index].add(1)
        case .rateLimitFallback(let rateClass): rateLimitFallbacks[rateClass.index].add(1)
        case .mismatch(let kind, let place, _, let isRedelivered):
            mismatches.withLock { $0[[kind, place], default: 0] += 1 }
            if isRedelivered { redelivered.add(1) }
        case .storeNote, .mailsHeld, .lifecycle: break
        }
    }

    private static func index(_ tier: CacheTier) -> Int {
        switch tier {
        case .l1: 0
        case .l2: 1
        case .miss: 2
        case .bypass: 3
        }
    }

    private static func index(_ store: StoreName) -> Int {
        switch store {
        case .postgres: 0
        case .mongo: 1
        case .redis: 2
        }
    }

    // MARK: Text

    /// The whole exposition.
    public var text: String {
        var text = PrometheusText()
        text.family("kababeat_http_requests_total", .counter, "Requests answered, by route and status.")
        for (route, counters) in zip(routes, requests) {
            for (status, count) in counters.statuses() {
                text.sample("kababeat_http_requests_total", [("route", route), ("status", String(status))], Double(count))
            }
        }
        text.family("kababeat_http_request_duration_seconds", .histogram, "Time from the request's head to its answer, by route.")
        for (route, counters) in zip(routes, requests) where counters.duration.count > 0 {
            text.histogram("kababeat_http_request_duration_seconds", [("route", route)], counters.duration)
        }
        text.family(
            "kababeat_cache_lookups_total", .counter,
            "Look-ups of single entities, by the tier that had them; bypass: the client asked for none.")
        for tier in CacheTier.allCases {
            text.sample("kababeat_cache_lookups_total", [("tier", tier.rawValue)], Double(cache[Self.index(tier)].value))
        }
        text.counter("kababeat_cache_fills_refused_total", "Bodies not stored because something newer was announced.", cacheFillsRefused)
        text.counter("kababeat_cache_announcements_total", "Changes that this process told caches to forget.", invalidations)
        text.counter("kababeat_outbox_delivered_total", "Outbox rows delivered by this process.", relayed)
        text.counter("kababeat_outbox_failures_total", "Deliveries that a store's outage cut short.", relayFailures)
        text.counter("kababeat_outbox_refusals_total", "Attempts that a store refused; a row that is refused often is dead.", relayRefusals)
        text.counter("kababeat_mails_sent_total", "Mails that a mail server took over from this process.", mailsSent)
        text.counter("kababeat_unexpected_errors_total", "Errors that no rule foresaw; each is in the log.", unexpected)
        text.family("kababeat_store_call_duration_seconds", .histogram, "Calls of the stores, as the gateway waited for them.")
        for store in StoreName.allCases {
            text.histogram("kababeat_store_call_duration_seconds", [("store", store.rawValue)], storeCalls[Self.index(store)])
        }
        text.family("kababeat_store_call_failures_total", .counter, "Calls of the stores that failed.")
        for store in StoreName.allCases {
            text.sample("kababeat_store_call_failures_total", [("store", store.rawValue)], Double(storeFailures[Self.index(store)].value))
        }
        text.family(
            "kababeat_mismatch_total", .counter, "Copies that a comparison found to be not what their owners say, by kind and place.")
        for (labels, count) in mismatches.withLock({ $0 }).sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            text.sample("kababeat_mismatch_total", [("kind", labels[0]), ("place", labels[1])], Double(count))
        }
        text.counter("kababeat_mismatch_redelivered_total", "Those of them that were given to the outbox once more.", redelivered)
        writeLimits(&text)
        let batches = batches.withLock { $0 }.sorted { $0.key < $1.key }
        text.family("kababeat_batch_size", .histogram, "Ids that one look-up carried.")
        for (kind, histograms) in batches { text.histogram("kababeat_batch_size", [("kind", kind)], histograms.sizes) }
        text.family("kababeat_batch_duration_seconds", .histogram, "Time of one look-up.")
        for (kind, histograms) in batches { text.histogram("kababeat_batch_duration_seconds", [("kind", kind)], histograms.times) }
        var seen: Set<String> = []
        let read = gauges.withLock { $0 }.flatMap { $0() }
        for gauge in read where seen.insert(gauge.name).inserted {
            text.family(gauge.name, .gauge, gauge.help)
            for other in read where other.name == gauge.name { text.sample(gauge.name, other.labels, other.value) }
        }
        return text.text
    }
}

extension Metrics {
    private func writeLimits(_ text: inout PrometheusText) {
        text.family("kababeat_rate_limited_total", .counter, "Requests that were one too many, by class and by what was counted.")
        for rateClass in RateClass.allCases {
            for kind in RateSubjectKind.allCases {
                let count = rateLimited[rateClass.index][kind.index].value
                guard count > 0 else { continue }
                text.sample("kababeat_rate_limited_total", [("class", rateClass.rawValue), ("by", kind.rawValue)], Double(count))
            }
        }
        text.family("kababeat_rate_limit_fallbacks_total", .counter, "Requests counted by this process alone: Redis did not answer.")
        for rateClass in RateClass.allCases where rateClass != .unlimited {
            text.sample(
                "kababeat_rate_limit_fallbacks_total", [("class", rateClass.rawValue)], Double(rateLimitFallbacks[rateClass.index].value))
        }
    }
}

/// Counts and times of one route.
private final class RouteCounters: Sendable {
    let duration = Histogram(Histogram.seconds)
    private let counts: [Counter] = (0..<600).map { _ in Counter() }

    func add(_ status: Int, _ microseconds: Int64) {
        counts[min(max(status, 0), 599)].add(1)
        duration.add(microseconds: microseconds)
    }

    func statuses() -> [(Int, Int)] {
        counts.enumerated().compactMap { $0.element.value > 0 ? ($0.offset, $0.element.value) : nil }
    }
}
