import Contract
import Logging

/// Says in the log what is worth a person's attention. Requests that went well are counted, not logged, unless the level is debug.
///
/// Nothing personal and no secret gets here: paths are logged without their query, errors without values.
public struct EventLogger: Observer {
    /// An answer that took longer than this is logged.
    private static let slow: Int64 = 500_000

    private let logger: Logger

    public init(_ logger: Logger) { self.logger = logger }

    public func observe(_ observation: Observation) {
        switch observation {
        case .request(_, let method, let path, let status, let microseconds, let id, let problem, let cause):
            let level: Logger.Level = status >= 500 && problem != .overloaded ? .warning : microseconds > Self.slow ? .notice : .debug
            guard level >= logger.logLevel else { return }
            var metadata: Logger.Metadata = [
                "requestId": "\(id)", "method": "\(method.prefix(20))", "path": "\(path.prefix { $0 != "?" })", "status": "\(status)",
                "microseconds": "\(microseconds)", "problem": "\(problem?.rawValue ?? "-")",
            ]
            if let cause { metadata["cause"] = "\(cause)" }
            logger.log(level: level, "request", metadata: metadata)
        case .unexpectedError(let id, let detail):
            logger.error("unexpected error", metadata: ["requestId": "\(id?.description ?? "-")", "detail": "\(detail)"])
        case .relayRefused(let kind, let id, let reason):
            logger.warning("outbox row refused", metadata: ["kind": "\(kind)", "id": "\(id)", "reason": "\(reason)"])
        case .storeNote(let store, let note): logger.notice("store", metadata: ["store": "\(store.rawValue)", "note": "\(note)"])
        case .relayFailed(let store, let detail):
            logger.warning("outbox delivery failed", metadata: ["store": "\(store?.rawValue ?? "-")", "detail": "\(detail)"])
        case .mailsHeld(let count):
            logger.warning("mails wait until KABABEAT_SMTP_HOST says which server takes them", metadata: ["count": "\(count)"])
        case .mismatch(let kind, let place, let id, let isRedelivered):
            logger.warning(
                "a copy is not what it should be",
                metadata: ["kind": "\(kind)", "place": "\(place)", "id": "\(id)", "redelivered": "\(isRedelivered)"])
        case .lifecycle(let message): logger.notice("\(message)")
        case .cacheLookup, .cacheFillRefused, .cacheInvalidated, .batch, .storeCall, .relayDelivered, .mailSent, .rateLimited,
            .rateLimitFallback:
            break
        }
    }
}
