/// MongoDB for async code: a few threads of its own call the C driver, fed by one bounded queue.
///
/// For example:
///
///     let client = try MongoClient(MongoConfiguration(uri: uri, database: "kababeat"))
///     let title = try await client.run(deadline: .now + .milliseconds(500)) { session in
///         try session.findOne("beats", ["_id": .uuid(id)])
///     }
///
/// Batch: one job with sixteen ids in one `$in` costs little more than one with a single id.
public final class MongoClient: Sendable {
    private let pool: WorkerPool

    /// Starts the threads. Connections open in the background: a server that is away is no error here.
    /// - Throws: `.invalidConfiguration`, or `.refused` when the system gives no threads.
    public init(
        _ configuration: MongoConfiguration, observe: @escaping @Sendable (MongoEvent) -> Void = { _ in }
    ) throws(MongoError) {
        pool = try WorkerPool(configuration, observe: observe)
    }

    /// Threads finish what they run, then let go of their connections.
    deinit { pool.close() }

    /// Runs `body` on one of the client's threads and returns what it returns.
    ///
    /// At the deadline, and when the task is cancelled, the caller is answered at once. A job that still waited is then never
    /// begun; one that runs stops at its next operation, and an operation in flight is bounded by the server's time
    /// limit and the socket timeout, so whether a write in it took effect is unknown.
    /// - Throws: `.queueFull` at once when too many wait, `.timeout`, `.cancelled`, `.shutdown`, what the operations
    ///   throw, and `.body` with `underlying` for any other error of `body`.
    @discardableResult
    public func run<T: Sendable>(
        deadline: ContinuousClock.Instant, _ body: @escaping @Sendable (borrowing MongoSession) throws -> T
    ) async throws(MongoError) -> T {
        let job = JobOf(deadline: deadline, body: body)
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                job.continuation = continuation
                pool.submit(job)
            }
        } onCancel: {
            pool.cancel(job)
        }
        return try result.get()
    }

    /// How busy the client is now.
    public func state() -> MongoPoolState { pool.state }

    /// Asks the server for a sign of life.
    /// - Throws: what ``run(deadline:_:)`` throws.
    public func ping(deadline: ContinuousClock.Instant) async throws(MongoError) {
        try await run(deadline: deadline) { session in _ = try session.command(["ping": 1], database: "admin") }
    }

    /// Refuses what waits with `.shutdown`, lets what runs finish, and returns once every connection is closed.
    public func shutdown() async {
        pool.close()
        await pool.waitUntilLeft()
    }
}
