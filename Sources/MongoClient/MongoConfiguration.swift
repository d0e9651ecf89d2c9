import CMongoC

/// Where MongoDB is and how much a client may use.
///
/// What the connection string leaves open is set so that acknowledged means durable and nothing waits for long:
/// `w=majority`, `journal=true`, `retryWrites=true`, `retryReads=true`, `serverSelectionTryOnce=false`, no compression.
public struct MongoConfiguration: Sendable {
    /// A connection string as MongoDB documents it. Options in it win over the settings below. A `readPreference` other than `primary`
    /// is refused: what is written anew from a read must not start from a secondary's past.
    public var uri: String

    /// The database that operations use unless they name another.
    public var database: String

    /// Worker threads, each with one connection for life. Few threads and large batches beat many threads.
    public var threads = 2

    /// How many jobs may wait for a thread; one more is refused with `.queueFull`.
    public var queueLimit = 1024

    /// How long an operation looks for a usable server, and how long a connection may take to open.
    public var serverSelectionTimeout: Duration = .seconds(1)

    /// How long an operation waits for bytes. It bounds how long a frozen server can hold a worker thread.
    public var socketTimeout: Duration = .seconds(2)

    /// How often an idle server is looked at; a client in need looks at once.
    public var heartbeat: Duration = .seconds(2)

    /// The name in the server's log.
    public var appName = "kababeat"

    public init(uri: String, database: String) {
        self.uri = uri
        self.database = database
    }
}

/// Owns a parsed connection string.
struct ConnectionString: ~Copyable {
    private let raw: OpaquePointer

    /// The string of a configuration with everything it leaves open set.
    /// - Throws: `.invalidConfiguration`.
    static func complete(_ configuration: MongoConfiguration) throws(MongoError) -> ConnectionString {
        guard (1...100).contains(configuration.threads), configuration.queueLimit > 0 else {
            throw MongoError(.invalidConfiguration, detail: "threads must be 1 to 100 and the queue limit at least 1")
        }
        guard !configuration.database.isEmpty, !configuration.database.utf8.contains(0) else {
            throw MongoError(.invalidConfiguration, detail: "no database name")
        }
        let string = try ConnectionString(parsing: configuration.uri)
        guard mongoc_read_prefs_get_mode(mongoc_uri_get_read_prefs_t(string.raw)) == MONGOC_READ_PRIMARY else {
            throw MongoError(.invalidConfiguration, detail: "readPreference must be primary")
        }
        try string.setDefaults(configuration)
        return string
    }

    private init(parsing string: String) throws(MongoError) {
        _ = Driver.isReady
        var error = bson_error_t()
        guard let raw = mongoc_uri_new_with_error(string, &error) else {
            throw MongoError(.invalidConfiguration, detail: MongoError(error).debugDescription)
        }
        self.raw = raw
    }

    deinit { mongoc_uri_destroy(raw) }

    borrowing func withPointer<T, E: Error>(_ body: (OpaquePointer) throws(E) -> T) throws(E) -> T {
        try body(raw)
    }

    /// What is in force for an option that is a number; 0 when nothing is.
    borrowing func number(_ option: String) -> Int32 { mongoc_uri_get_option_as_int32(raw, option, 0) }

    /// What is in force for an option that is on or off; nil when nothing is.
    borrowing func flag(_ option: String) -> Bool? {
        mongoc_uri_has_option(raw, option) ? mongoc_uri_get_option_as_bool(raw, option, false) : nil
    }

    /// What an acknowledgement means.
    borrowing func writeConcern() -> (isMajority: Bool, isJournaled: Bool) {
        let concern = mongoc_uri_get_write_concern(raw)
        return (mongoc_write_concern_get_w(concern) == MONGOC_WRITE_CONCERN_W_MAJORITY, mongoc_write_concern_get_journal(concern))
    }

    private borrowing func setDefaults(_ configuration: MongoConfiguration) throws(MongoError) {
        let connectTimeout = min(configuration.serverSelectionTimeout, .seconds(1))
        try setNumber(MONGOC_URI_SERVERSELECTIONTIMEOUTMS, configuration.serverSelectionTimeout.milliseconds)
        try setNumber(MONGOC_URI_CONNECTTIMEOUTMS, connectTimeout.milliseconds)
        try setNumber(MONGOC_URI_SOCKETTIMEOUTMS, configuration.socketTimeout.milliseconds)
        // The driver looks no more often than every 500 ms.
        try setNumber(MONGOC_URI_HEARTBEATFREQUENCYMS, max(500, configuration.heartbeat.milliseconds))
        try setFlag(MONGOC_URI_SERVERSELECTIONTRYONCE, false)
        try setFlag(MONGOC_URI_RETRYWRITES, true)
        try setFlag(MONGOC_URI_RETRYREADS, true)
        if mongoc_uri_get_appname(raw) == nil, !mongoc_uri_set_appname(raw, configuration.appName) {
            throw MongoError(.invalidConfiguration, detail: "unusable application name")
        }
        // Each worker owns one client of the pool, whatever the string says.
        guard mongoc_uri_set_option_as_int32(raw, MONGOC_URI_MAXPOOLSIZE, Int32(configuration.threads)) else {
            throw MongoError(.invalidConfiguration, detail: "unusable pool size")
        }
        setWriteConcern()
    }

    private borrowing func setNumber(_ option: String, _ value: Int64) throws(MongoError) {
        if mongoc_uri_has_option(raw, option) { return }
        guard let value = Int32(exactly: value), value > 0, mongoc_uri_set_option_as_int32(raw, option, value) else {
            throw MongoError(.invalidConfiguration, detail: "unusable \(option)")
        }
    }

    private borrowing func setFlag(_ option: String, _ value: Bool) throws(MongoError) {
        if mongoc_uri_has_option(raw, option) { return }
        guard mongoc_uri_set_option_as_bool(raw, option, value) else {
            throw MongoError(.invalidConfiguration, detail: "unusable \(option)")
        }
    }

    private borrowing func setWriteConcern() {
        guard let concern = mongoc_write_concern_copy(mongoc_uri_get_write_concern(raw)) else { return }
        defer { mongoc_write_concern_destroy(concern) }
        let isSilent = mongoc_write_concern_get_w(concern) == 0
        if mongoc_write_concern_get_w(concern) == MONGOC_WRITE_CONCERN_W_DEFAULT {
            mongoc_write_concern_set_w(concern, MONGOC_WRITE_CONCERN_W_MAJORITY)
        }
        if !mongoc_write_concern_journal_is_set(concern), !isSilent { mongoc_write_concern_set_journal(concern, true) }
        mongoc_uri_set_write_concern(raw, concern)
    }
}

extension Duration {
    /// Whole milliseconds, rounded up: a bound is never shorter than it was said to be.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        return overflow ? (seconds < 0 ? .min : .max) : whole + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    }
}
