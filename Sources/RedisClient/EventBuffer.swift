/// Events that a listener has not yet taken, up to a bound. A pure value.
struct EventBuffer {
    private let limit: Int
    private let byteLimit: Int
    private var events = Queue<RedisSubscription.Event>()
    private var bytes = 0

    init(limit: Int, bytes: Int) {
        self.limit = limit
        byteLimit = bytes
    }

    /// Adds an event. False where it does not fit: then it and what was kept are dropped, and a gap stands in their place. The connection
    /// still stands, so all that follows is heard again.
    mutating func append(_ event: RedisSubscription.Event) -> Bool {
        bytes += Self.size(event)
        guard events.count < limit, bytes <= byteLimit else {
            events.removeAll()
            events.append(.gap)
            events.append(.subscribed)
            bytes = 0
            return false
        }
        events.append(event)
        return true
    }

    mutating func popFirst() -> RedisSubscription.Event? {
        guard let event = events.popFirst() else { return nil }
        bytes -= Self.size(event)
        return event
    }

    private static func size(_ event: RedisSubscription.Event) -> Int {
        guard case .message(let channel, let payload) = event else { return 0 }
        return channel.utf8.count + payload.count
    }
}
