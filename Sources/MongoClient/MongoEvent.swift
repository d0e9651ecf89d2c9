/// What a client tells its observer. Called from the client's own threads: be quick, take no lock that is held while waiting.
public enum MongoEvent: Sendable {
    /// How the driver rates what it says.
    public enum Level: Sendable {
        case error, warning, info
    }

    /// The driver had something to say. The text may hold addresses; it belongs in a log.
    case log(Level, domain: String, message: String)

    /// A job ran: how long it waited for a thread, how long it held one, and how it failed, if it did.
    /// Its caller may have given up before.
    case ran(waited: Duration, took: Duration, failure: MongoError.Code?)

    /// A job was given up before it began: `.timeout`, `.cancelled`, `.queueFull` or `.shutdown`.
    case neverRan(MongoError.Code)
}
