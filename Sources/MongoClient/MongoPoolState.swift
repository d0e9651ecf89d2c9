/// How busy a client's threads are.
public struct MongoPoolState: Sendable, Hashable {
    /// Threads that may call the driver.
    public let threads: Int
    /// Threads that run a job, also one whose caller was answered already.
    public let busy: Int
    /// Jobs that wait for a thread.
    public let queued: Int
}
