/// The bounds of the HTTP edge. Every one has a default that is safe in production.
public struct EdgeLimits: Sendable {
    /// Open connections; more wait in the backlog.
    public var connections = 16_384
    /// Open connections of one address (IPv6: of one /64); more are closed at once. Proxies that are trusted are not counted.
    public var connectionsPerAddress = 4096
    /// Requests being worked on; more are answered with `overloaded` at once.
    public var requestsInFlight = 1024
    /// Time that a connection may say nothing, send its header, or leave an answer unread.
    public var idle = Duration.seconds(30)
    /// Time from the end of a request's header to the last byte of its answer: body, work and writing. Then it is answered `timeout`.
    public var total = Duration.seconds(30)
    /// A body has this long to begin in earnest; from then on it must have come at `bodyRate` bytes a second.
    public var bodyGrace = Duration.seconds(5)
    public var bodyRate = 1024
    /// Time that a client which was answered `timeout` has to read that.
    public var linger = Duration.seconds(2)
    /// At the end: time in which clients are told to leave before idle connections are closed, and time for the last answers.
    public var drain = Duration.milliseconds(250)
    public var shutdown = Duration.seconds(5)
    /// Bytes of one header field, and of all.
    public var headerField = 16 << 10
    public var headerList = 32 << 10
    public var headerCount = 100
    public var path = 8192
    /// Bytes of a body that nobody asked for which are read, so that its sender sees the answer.
    public var unwantedBody = 16 << 20

    public init() {}
}
