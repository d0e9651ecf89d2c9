import Synchronization

/// What all connections share: how many requests are being worked on, and whether the gateway is about to stop.
final class Traffic: Sendable {
    private let inFlight = Atomic<Int>(0)
    private let draining = Atomic(false)
    private let atOnce = Atomic<Int>(0)
    private let unanswered = Atomic<Int>(0)

    var count: Int { inFlight.load(ordering: .relaxed) }
    var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// Of the connections that have ended: answers that event loops gave by themselves, and requests that the tasks had and did not answer.
    /// For tests: nothing else tells an answer of the one from one of the other.
    var ended: (answeredAtOnce: Int, unanswered: Int) {
        (atOnce.load(ordering: .relaxed), unanswered.load(ordering: .relaxed))
    }

    /// Says what a connection that ends had.
    func end(answeredAtOnce: Int, unanswered: Int) {
        atOnce.wrappingAdd(answeredAtOnce, ordering: .relaxed)
        self.unanswered.wrappingAdd(unanswered, ordering: .relaxed)
    }

    func drain() { draining.store(true, ordering: .relaxed) }

    /// Room for one more request, given back at the latest when nobody holds it any more: a request that was let in and whose client is gone
    /// before its turn takes none. Nil where there are `most` already.
    func enter(most: Int) -> Place? {
        let place = Place(self)
        return count <= most ? place : nil
    }

    fileprivate func add(_ amount: Int) { inFlight.wrappingAdd(amount, ordering: .relaxed) }
}

/// The room that one request takes while it is being worked on.
final class Place: Sendable {
    private let traffic: Traffic
    private let isTaken = Atomic(true)

    fileprivate init(_ traffic: Traffic) {
        self.traffic = traffic
        traffic.add(1)
    }

    /// Gives it back; once, however often it is said.
    func leave() {
        if isTaken.exchange(false, ordering: .relaxed) { traffic.add(-1) }
    }

    deinit { leave() }
}
