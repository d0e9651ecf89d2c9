/// What happens inside the gateway, as values. Code emits them; only the logger and the metrics say what they mean.
public enum Observation: Sendable {
    /// A request was answered. `route` is its pattern, never its path; `microseconds` spans the last byte read to the answer handed over.
    /// `cause` is the id of the error that it came to grief by, where that has one of its own.
    case request(
        route: Int, method: String, path: String, status: Int, microseconds: Int64, id: RequestID, problem: Problem.Code?,
        cause: RequestID? = nil)
    /// An error that no rule foresaw. `id` is its request's, or its own, which each request that it failed names as its cause. `detail` is
    /// for the log alone.
    case unexpectedError(id: RequestID?, detail: String)
    case cacheLookup(CacheTier)
    /// A value was not stored because something newer had been announced while it was read.
    case cacheFillRefused
    case cacheInvalidated(count: Int)
    /// One round trip for `size` keys that several requests may have asked for.
    case batch(kind: String, size: Int, microseconds: Int64)
    /// One call of a store, as its client saw it.
    case storeCall(StoreName, microseconds: Int64, failed: Bool)
    case storeNote(StoreName, String)
    case relayDelivered(count: Int, microseconds: Int64)
    case relayFailed(StoreName?, detail: String)
    /// A store refused the state of one aggregate. After some attempts its outbox row is a dead letter.
    case relayRefused(kind: String, id: EntityID, reason: String)
    /// A mail server, or the console, took a mail over.
    case mailSent
    /// Mails wait because nobody has said which server takes them.
    case mailsHeld(count: Int)
    /// A request was one too many.
    case rateLimited(RateClass, RateSubjectKind)
    /// A request was counted by this process alone, because Redis did not answer.
    case rateLimitFallback(RateClass)
    /// A copy is not what its owners say, by kind (`missing`, `stale` ...) and place. `isRedelivered` where it was given to the outbox again.
    case mismatch(kind: String, place: String, id: EntityID, isRedelivered: Bool)
    /// Something worth a line in the log of a process that serves: started, listening, stopping.
    case lifecycle(String)
}

/// What answered a cached read: memory, Redis, the databases because neither had it, or the databases because the client asked for that.
public enum CacheTier: String, Sendable, CaseIterable {
    case l1, l2, miss, bypass
}

/// Takes observations. Called from any thread, on hot paths: an implementation returns at once and never fails.
public protocol Observer: Sendable {
    func observe(_ observation: Observation)
}

extension Observer {
    /// Observes an error that no rule foresaw, under an id of its own, and answers the problem that names it.
    public func unexpected(_ detail: String) -> Problem {
        let cause = RequestID()
        observe(.unexpectedError(id: cause, detail: detail))
        return .unexpected(cause: cause)
    }
}
