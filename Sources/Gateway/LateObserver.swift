import Contract
import Observability
import Synchronization

/// Lets parts be built before the metrics, which need the finished route table. What is observed earlier is not counted.
final class LateObserver: Observer {
    private struct Sinks {
        let metrics: Metrics
        let logger: EventLogger
    }

    private let sinks = AtomicLazyReference<Box>()

    private final class Box: Sendable {
        let sinks: Sinks
        init(_ sinks: Sinks) { self.sinks = sinks }
    }

    func begin(metrics: Metrics, logger: EventLogger) {
        _ = sinks.storeIfNil(Box(Sinks(metrics: metrics, logger: logger)))
    }

    func observe(_ observation: Observation) {
        guard let sinks = sinks.load()?.sinks else { return }
        sinks.metrics.observe(observation)
        sinks.logger.observe(observation)
    }

    var metricsText: String { sinks.load()?.sinks.metrics.text ?? "" }
}

/// Those who want to hear announcements; joined while the gateway is wired up.
final class Listeners: Sendable {
    private let listeners = Mutex<[@Sendable ([Announcement]?) -> Void]>([])

    func add(_ listener: @escaping @Sendable ([Announcement]?) -> Void) { listeners.withLock { $0.append(listener) } }

    func hear(_ announcements: [Announcement]?) {
        for listener in listeners.withLock({ $0 }) { listener(announcements) }
    }
}
