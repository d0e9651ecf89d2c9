import Contract
import Glibc
import JSON
import Logging
import Synchronization

/// Writes each log entry as one line of JSON to standard error, in one call, so that lines of different threads never mix.
public struct JSONLogHandler: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    private let label: String

    public init(label: String, level: Logger.Level) {
        self.label = label
        logLevel = level
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var json = JSONWriter(capacity: 256)
        json.object { json in
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            json.key("time")
            json.timestamp(Timestamp(microseconds: Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000))
            json.key("level")
            json.string(event.level.rawValue)
            json.key("logger")
            json.string(label)
            json.key("message")
            json.string(event.message.description)
            for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).sorted(by: { $0.key < $1.key }) {
                json.key(key)
                json.string(value.description)
            }
        }
        (json.bytes + [UInt8(ascii: "\n")]).withUnsafeBytes { line in
            _ = write(STDERR_FILENO, line.baseAddress, line.count)
        }
    }
}
