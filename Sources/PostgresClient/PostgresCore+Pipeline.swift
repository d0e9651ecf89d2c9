import CLibPQ
import Reactor

extension PostgresCore {
    /// The socket of an open connection is ready.
    func serve(_ slot: Int, _ readiness: Reactor.Readiness) {
        guard let connection = links[slot].connection else { return }
        if readiness.canRead {
            let now = ContinuousClock.now
            connection.lastByte = now
            let isAlive = connection.consume()
            guard receive(connection, at: now) else { return }
            guard isAlive else { return lose(connection, connection.errorMessage) }
        }
        // libpq may have more to send after it has read, and a TLS layer even when nothing was queued.
        if readiness.canWrite || connection.watched?.forWrite == true, !flush(connection) { return }
        settle()
    }

    /// Sends what is queued and asks to be woken for the rest; false where the connection is lost.
    func flush(_ connection: Connection) -> Bool {
        guard let forWrite = connection.flush() else {
            lose(connection, connection.errorMessage)
            return false
        }
        if let (descriptor, watchedForWrite) = connection.watched, forWrite != watchedForWrite {
            connection.watched = (descriptor, forWrite)
            reactor.update(descriptor, read: true, write: forWrite)
        }
        return true
    }

    /// Takes every answer that is here; false where the connection was lost over it.
    private func receive(_ connection: Connection, at now: ContinuousClock.Instant) -> Bool {
        var ends = 0
        while true {
            switch connection.next() {
            case .wait: return true
            case .end where connection.isOutsidePipeline:
                guard connection.reenterPipeline() else {
                    lose(connection, connection.errorMessage)
                    return false
                }
                complete(connection, at: now)
            case .end:
                // An answer ends once; libpq goes on saying so where the connection broke amid it, or where we disagree on what is in
                // flight.
                ends += 1
                if ends > 1, connection.isBroken {
                    lose(connection, connection.errorMessage)
                    return false
                }
                if ends > 1 { return fail(connection, "an answer too many") }
                connection.segments.first?.answered += 1
            case .result(let result):
                ends = 0
                guard take(result, on: connection, at: now) else { return false }
            }
            guard links[connection.slot].connection === connection else { return false }
        }
    }

    private func take(_ result: consuming PostgresResult, on connection: Connection, at now: ContinuousClock.Instant) -> Bool {
        guard let segment = connection.segments.first else { return fail(connection, "an answer without a question") }
        switch result.status {
        case PGRES_PIPELINE_SYNC: complete(connection, at: now)
        case PGRES_PIPELINE_ABORTED: break
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            guard segment.answered == segment.prologue, segment.error == nil, let request = segment.request, !request.isFinished else {
                break
            }
            do throws(PostgresError) {
                try request.receive(result)
            } catch {
                segment.error = error
            }
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE, PGRES_NONFATAL_ERROR:
            let error = result.error
            if result.isFatal {
                lose(connection, error.debugDescription)
                return false
            }
            guard segment.error == nil else { break }
            segment.error = error
            if error.isOfStandby {
                connection.isRetired = true
                pool.hold(connection.slot)
            }
            segment.hasStalePlan = result.isStalePlan
            if segment.answered < segment.prologue, segment.startsTransaction { segment.error?.stage = .begin }
        default:
            // COPY, which nothing here speaks.
            return fail(connection, "an answer of unexpected kind")
        }
        return true
    }

    private func fail(_ connection: Connection, _ message: String) -> Bool {
        connection.segments.first?.request?.finish(PostgresError(.protocolViolation, message))
        lose(connection, message)
        return false
    }

    /// The first segment has been answered: tells its caller, and the pool or the lease that there is room.
    private func complete(_ connection: Connection, at now: ContinuousClock.Instant) {
        guard let segment = connection.complete(at: now) else { return }
        if let next = connection.segments.first?.request, next.isFinished { watch(now + configuration.cancelDelay) }
        guard let request = segment.request else { return }
        if segment.error != nil, !request.isFinished, mayResend(request, segment, on: connection) {
            if put(request, on: connection) == .refused { pool.completed(connection.slot) }
            return
        }
        if let lease = connection.lease {
            if segment.startsTransaction || request.kind == .script { lease.isGated = false }
            if segment.startsTransaction, connection.isIdleOutsideTransaction {
                lease.failure = segment.error ?? PostgresError(.protocolViolation, "BEGIN was lost", stage: .begin)
            }
            advance(lease, connection)
        } else {
            pool.completed(connection.slot)
            if connection.isRetired, connection.segments.isEmpty { replace(connection) }
        }
        // Last, so that a caller that asks finds its own connection free.
        publish()
        conclude(request, segment)
    }

    private func conclude(_ request: Request, _ segment: Segment) {
        guard var error = segment.error else { return request.finish(nil) }
        // The statement was never there because preparing it failed: that is the error to tell.
        if error.sqlState == "26000", let failure = segment.statements.lazy.compactMap(\.failure).first { error = failure }
        if request.kind == .commit { error.stage = .commit }
        if request.kind == .script { error.stage = .script }
        request.finish(error.about(request.sql))
    }

    /// True for an error that is no fault of the request and after which nothing of it was carried out: a cancellation meant for a
    /// neighbour hit it, or its plan was out of date, which is tried once. Only outside a transaction, whose earlier statements would
    /// be lost.
    private func mayResend(_ request: Request, _ segment: Segment, on connection: Connection) -> Bool {
        guard connection.lease == nil, request.kind == .query else { return false }
        if segment.wasHitByCancellation { return true }
        guard segment.hasStalePlan, !request.wasPreparedAgain, segment.statements.allSatisfy({ $0.failure == nil }) else { return false }
        request.wasPreparedAgain = true
        return true
    }

    /// Gives an idle connection up for a fresh one.
    func replace(_ connection: Connection) {
        close(connection.slot)
        pool.discarded(connection.slot)
    }

    /// Drops an open connection. What was in flight on it fails, and nothing else.
    func lose(_ connection: Connection, _ message: String) {
        let slot = connection.slot
        guard links[slot].connection === connection else { return }
        close(slot)
        connection.segments.forEach { $0.request?.giveUp(.connection, message, wasSent: true) }
        if let lease = connection.lease {
            lease.connection = nil
            while let request = lease.waiting.popFirst() { request.giveUp(.connection, message, wasSent: false) }
        }
        connection.lease = nil
        observe(.lost(connection: slot, PostgresError(.connection, message)))
        pool.lost(slot)
        settle()
    }
}
