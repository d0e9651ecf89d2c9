extension PostgresCore {
    func lend(_ request: Request, _ slot: Int) {
        guard let request = request as? LeaseRequest, let connection = links[slot].connection else {
            return request.giveUp(.connection, wasSent: false)
        }
        request.lease.connection = connection
        connection.lease = request.lease
        request.finish(nil)
    }

    /// Takes a request of a lease's holder. They go out in order, without waiting for each other.
    func submit(_ request: Request, in lease: Lease) {
        guard arrive(request) else { return }
        guard let connection = lease.connection, !lease.isEnded else {
            return request.giveUp(.connection, "the connection of this transaction or session is gone", wasSent: false)
        }
        watch(request.deadline)
        lease.waiting.append(request)
        advance(lease, connection)
        settle()
    }

    /// Sends what may be sent, and takes the connection back once the holder is done and everything is answered.
    func advance(_ lease: Lease, _ connection: Connection) {
        while !lease.isGated, !connection.isCancelling, let request = lease.waiting.first {
            if request.kind == .script, !connection.segments.isEmpty { return }
            _ = lease.waiting.popFirst()
            if request.isFinished { continue }
            if let failure = lease.failure, request.kind == .query {
                request.finish(failure)
                continue
            }
            // BEGIN goes out with the first query, under one sync: where BEGIN fails, the query is not carried out. Later ones
            // wait until BEGIN is confirmed.
            let begin = lease.begin.take()
            lease.isGated = begin != nil || request.kind == .script
            if put(request, on: connection, begin: begin, beginSettings: begin == nil ? nil : lease.settings) == .refused {
                lease.isGated = false
                if begin != nil { lease.begin = begin }
            }
            guard lease.connection != nil else { return }
        }
        guard lease.isEnded, lease.waiting.isEmpty, connection.segments.isEmpty, !connection.isCancelling else { return }
        connection.lease = nil
        lease.connection = nil
        if connection.isIdleOutsideTransaction, !lease.isDisposable, !connection.isRetired {
            pool.released(connection.slot)
        } else {
            replace(connection)
        }
    }

    /// The holder is done with its lease.
    func end(_ lease: Lease) {
        lease.isEnded = true
        guard let connection = lease.connection else { return }
        advance(lease, connection)
        settle()
    }
}
