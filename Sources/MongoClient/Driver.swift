import CMongoC
import Synchronization

/// What the C driver has once for the whole process: its initialisation and its log.
enum Driver {
    /// Touch it before any other call of the driver.
    static let isReady: Void = {
        mongoc_init()
        mongoc_log_set_handler(
            { level, domain, message, _ in
                let level: MongoEvent.Level? =
                    switch level {
                    case MONGOC_LOG_LEVEL_ERROR, MONGOC_LOG_LEVEL_CRITICAL: .error
                    case MONGOC_LOG_LEVEL_WARNING: .warning
                    case MONGOC_LOG_LEVEL_MESSAGE, MONGOC_LOG_LEVEL_INFO: .info
                    default: nil
                    }
                guard let level else { return }
                let domain = domain.map { String(cString: $0) } ?? ""
                let message = message.map { String(cString: $0) } ?? ""
                for observe in observers.withLock({ Array($0.values) }) { observe(.log(level, domain: domain, message: message)) }
            }, nil)
    }()

    /// The log has no client of its own, so every live client hears it.
    private static let observers = Mutex<[ObjectIdentifier: @Sendable (MongoEvent) -> Void]>([:])

    static func addObserver(_ owner: AnyObject, _ observe: @escaping @Sendable (MongoEvent) -> Void) {
        observers.withLock { $0[ObjectIdentifier(owner)] = observe }
    }

    static func removeObserver(_ owner: AnyObject) {
        _ = observers.withLock { $0.removeValue(forKey: ObjectIdentifier(owner)) }
    }
}
