import Dispatch
import Reactor

extension PostgresCore {
    /// Sees to it that deadlines are looked at by `instant`.
    func watch(_ instant: ContinuousClock.Instant) {
        if let due = deadlines.due, due <= instant { return }
        if let timer = deadlines.timer { reactor.cancel(timer) }
        deadlines.due = instant
        deadlines.timer = reactor.schedule(at: instant) { [weak self] in self?.assumeIsolated { $0.lookAtDeadlines() } }
    }

    private func lookAtDeadlines() {
        deadlines = DeadlineWatch()
        let now = ContinuousClock.now
        for request in pool.withdraw(where: { $0.deadline <= now }) { request.giveUp(.timeout, wasSent: false) }
        for link in links {
            guard let connection = link.connection, connection.isOpen else { continue }
            connection.segments.forEach { segment in
                if let request = segment.request, request.deadline <= now { request.giveUp(.timeout, wasSent: true) }
            }
            if let lease = connection.lease {
                for request in lease.waiting.removeAll(where: { $0.deadline <= now }) { request.giveUp(.timeout, wasSent: false) }
            }
            attend(connection, at: now)
        }
        watchNext()
        settle()
    }

    private func watchNext() {
        var next: ContinuousClock.Instant?
        func consider(_ request: Request) {
            if !request.isFinished { next = min(next ?? request.deadline, request.deadline) }
        }
        pool.forEachWaiting(consider)
        for link in links {
            guard let connection = link.connection else { continue }
            connection.segments.forEach { if let request = $0.request { consider(request) } }
            connection.lease?.waiting.forEach(consider)
        }
        if let next { watch(next) }
    }

    /// A task was cancelled: its caller is told at once, whatever the request is doing.
    func cancel(_ request: Request) {
        guard request.hasArrived, !request.isFinished else { return }
        if !pool.withdraw(where: { $0 === request }).isEmpty {
            request.giveUp(.cancelled, wasSent: false)
            return settle()
        }
        request.giveUp(.cancelled, wasSent: true)
        let now = ContinuousClock.now
        for link in links {
            if let connection = link.connection, connection.isOpen { attend(connection, at: now) }
        }
        settle()
    }

    /// Sees to a connection whose oldest request nobody waits for any more: asks the server to cancel it once it has run for the
    /// configured delay, and gives the connection up when the server has been silent for too long.
    ///
    /// What commits by itself is left to end, and so are COMMITs. Only the segment at the head is cancelled, because the server cancels whatever the connection is doing when the request
    /// arrives. Until it has been delivered, nothing new is sent on that connection; a neighbour already in the pipeline that is hit
    /// all the same is sent again.
    private func attend(_ connection: Connection, at now: ContinuousClock.Instant) {
        var abandoned: Request?
        connection.segments.forEach { if abandoned == nil, let request = $0.request { abandoned = request } }
        guard let abandoned, abandoned.isFinished else { return }
        let silentSince = max(connection.lastByte, connection.segments.first?.since ?? connection.lastByte)
        let giveUp = silentSince + configuration.stallTimeout
        if now >= giveUp {
            passOver(connection.slot)
            return lose(connection, "the server has been silent for \(configuration.stallTimeout)")
        }
        watch(giveUp)

        guard let head = connection.segments.first, head.request === abandoned, head.cancellation == nil, !connection.isCancelling,
            abandoned.kind == .query || abandoned.kind == .script, connection.lease != nil || !abandoned.mayBeCommitting
        else { return }
        // On a lease nobody else can be hit, so there is nothing to wait for.
        let due = (head.since ?? now) + (connection.lease == nil ? configuration.cancelDelay : .zero)
        if now >= due { askToCancel(head, on: connection) } else { watch(due) }
    }

    private func askToCancel(_ segment: Segment, on connection: Connection) {
        // A frozen server keeps cancellations waiting too; there is no use in piling them up.
        guard cancellationsUnderWay < 2 * links.count, let cancellation = connection.makeCancellation() else { return }
        let slot = connection.slot
        let generation = links[slot].generation
        segment.cancellation = cancellation
        connection.isCancelling = true
        cancellationsUnderWay += 1
        pool.hold(slot)
        observe(.cancelRequested(connection: slot))
        cancelling.async { [self] in
            cancellation.perform()
            perform { core in
                core.cancellationsUnderWay -= 1
                guard core.links[slot].generation == generation, let connection = core.links[slot].connection else { return }
                connection.isCancelling = false
                if !connection.isRetired { core.pool.unhold(slot) }
                if let lease = connection.lease { core.advance(lease, connection) }
                core.settle()
            }
        }
    }
}
