/// Which request goes to which connection, and when a connection is opened, closed or tried again. It does no I/O and knows no
/// clock: events come in as calls, and what is to be done comes out of `nextAction`.
///
/// One-shot queries share connections, each up to its pipeline depth; an exclusive lease has one connection to itself. Both wait in
/// order of arrival. When the oldest waiting request is a lease and no connection is idle, one is reserved: it gets no younger
/// one-shot query until it has drained, so leases do not starve; the other connections go on serving queries.
struct PoolMachine<Waiter> {
    enum Kind { case oneShot, exclusive }

    enum Refusal: Equatable { case queueFull, unreachable, shutdown }

    enum Action {
        case connect(Int)
        /// Tell `reconnectDue` after about this long.
        case reconnect(Int, after: Duration)
        case send(Waiter, Int)
        case lend(Waiter, Int)
        case refuse(Waiter, Refusal)
        case close(Int)
        /// Every connection is closed after `shutdown`.
        case finished
    }

    private enum Phase: Equatable {
        case closed, connecting
        case shared(inFlight: Int)
        case lent
    }

    private struct Slot {
        var phase = Phase.closed
        /// Attempts and losses since a request was last completed on this connection.
        var failures = 0
        /// Gets nothing new for the moment, because a cancellation is on its way to its server process.
        var isHeld = false
    }

    private struct Waiting {
        let waiter: Waiter
        let ticket: UInt64
    }

    private let depth: Int
    private let exclusiveLimit: Int
    private let queueLimit: Int
    private let delay: ClosedRange<Duration>
    private var slots: [Slot]
    private var oneShots = Queue<Waiting>()
    private var exclusives = Queue<Waiting>()
    private var tickets: UInt64 = 0
    private var reserved: Int?
    private var lastAttemptFailed = false
    private var isShutDown = false
    private var isFinished = false
    private var actions = Queue<Action>()

    init(connections: Int, depth: Int, exclusiveLimit: Int, queueLimit: Int, reconnectDelay: ClosedRange<Duration>) {
        self.depth = depth
        self.exclusiveLimit = exclusiveLimit
        self.queueLimit = queueLimit
        delay = reconnectDelay
        slots = Array(repeating: Slot(), count: connections)
    }

    mutating func nextAction() -> Action? { actions.popFirst() }

    /// Open and busy connections, waiting requests.
    var state: PostgresPoolState {
        var (open, busy) = (0, 0)
        for slot in slots {
            switch slot.phase {
            case .closed, .connecting: continue
            case .shared(let inFlight): if inFlight > 0 { busy += 1 }
            case .lent: busy += 1
            }
            open += 1
        }
        return PostgresPoolState(open: open, busy: busy, waiting: oneShots.count + exclusives.count)
    }

    // MARK: Requests

    mutating func submit(_ waiter: Waiter, _ kind: Kind) {
        if isShutDown { return actions.append(.refuse(waiter, .shutdown)) }
        if lastAttemptFailed && !hasOpenSlot { return actions.append(.refuse(waiter, .unreachable)) }
        tickets += 1
        let waiting = Waiting(waiter: waiter, ticket: tickets)
        switch kind {
        case .oneShot: oneShots.append(waiting)
        case .exclusive: exclusives.append(waiting)
        }
        dispatch()
        guard oneShots.count + exclusives.count > queueLimit else { return }
        // It still waits, so it is the last of its queue, and the one too many.
        guard let refused = kind == .oneShot ? oneShots.popLast() : exclusives.popLast() else { return }
        actions.append(.refuse(refused.waiter, .queueFull))
        dispatch()
    }

    /// Takes out the waiting requests that fit, for example those past their deadline.
    mutating func withdraw(where fits: (Waiter) -> Bool) -> [Waiter] {
        let withdrawn = oneShots.removeAll { fits($0.waiter) } + exclusives.removeAll { fits($0.waiter) }
        if !withdrawn.isEmpty { dispatch() }
        return withdrawn.map(\.waiter)
    }

    func forEachWaiting(_ body: (Waiter) -> Void) {
        oneShots.forEach { body($0.waiter) }
        exclusives.forEach { body($0.waiter) }
    }

    /// A one-shot query has been answered in full.
    mutating func completed(_ slot: Int) {
        guard case .shared(let inFlight) = slots[slot].phase else { return }
        slots[slot].phase = .shared(inFlight: max(0, inFlight - 1))
        slots[slot].failures = 0
        dispatch()
    }

    /// A lease has ended and left its connection clean.
    mutating func released(_ slot: Int) {
        guard slots[slot].phase == .lent else { return }
        slots[slot].phase = .shared(inFlight: 0)
        slots[slot].failures = 0
        dispatch()
    }

    /// Sends nothing new to a connection, until `unhold`.
    mutating func hold(_ slot: Int) { slots[slot].isHeld = true }

    mutating func unhold(_ slot: Int) {
        slots[slot].isHeld = false
        dispatch()
    }

    // MARK: Connections

    mutating func start() {
        for slot in slots.indices { connect(slot) }
    }

    mutating func opened(_ slot: Int) {
        guard slots[slot].phase == .connecting else { return }
        slots[slot].phase = .shared(inFlight: 0)
        lastAttemptFailed = false
        dispatch()
    }

    /// An attempt failed. While no other connection is open, nobody is left waiting for the next one.
    mutating func openFailed(_ slot: Int) {
        guard slots[slot].phase == .connecting else { return }
        lastAttemptFailed = true
        reopen(slot)
        guard !hasOpenSlot else { return }
        refuseWaiting(.unreachable)
    }

    /// An open connection is gone, with whatever was in flight on it.
    mutating func lost(_ slot: Int) {
        switch slots[slot].phase {
        case .closed, .connecting: return
        case .shared, .lent: reopen(slot)
        }
        dispatch()
    }

    /// An open connection was given up on purpose, to be replaced by a fresh one.
    mutating func discarded(_ slot: Int) {
        slots[slot] = Slot()
        if isShutDown { finishIfClosed() } else { connect(slot) }
        dispatch()
    }

    mutating func reconnectDue(_ slot: Int) {
        guard !isShutDown, slots[slot].phase == .closed else { return }
        connect(slot)
    }

    // MARK: Shutdown

    /// Refuses what waits and what comes; connections close as soon as they have nothing in flight.
    mutating func shutdown() {
        guard !isShutDown else { return }
        isShutDown = true
        refuseWaiting(.shutdown)
        for slot in slots.indices where slots[slot].phase == .connecting { close(slot) }
        dispatch()
        finishIfClosed()
    }

    // MARK: Inside

    private var hasOpenSlot: Bool {
        slots.contains { $0.phase != .closed && $0.phase != .connecting }
    }

    private var lentCount: Int { slots.count { $0.phase == .lent } }

    private mutating func connect(_ slot: Int) {
        slots[slot].phase = .connecting
        actions.append(.connect(slot))
    }

    private mutating func reopen(_ slot: Int) {
        let failures = slots[slot].failures
        slots[slot] = Slot(failures: failures + 1)
        if reserved == slot { reserved = nil }
        if isShutDown { return finishIfClosed() }
        let doubled = delay.lowerBound * (1 << min(failures, 20))
        actions.append(.reconnect(slot, after: min(doubled, delay.upperBound)))
    }

    private mutating func close(_ slot: Int) {
        slots[slot] = Slot()
        actions.append(.close(slot))
    }

    private mutating func finishIfClosed() {
        guard isShutDown, !isFinished, slots.allSatisfy({ $0.phase == .closed }) else { return }
        isFinished = true
        actions.append(.finished)
    }

    private mutating func refuseWaiting(_ refusal: Refusal) {
        while let waiting = oneShots.popFirst() { actions.append(.refuse(waiting.waiter, refusal)) }
        while let waiting = exclusives.popFirst() { actions.append(.refuse(waiting.waiter, refusal)) }
        reserved = nil
    }

    /// Hands out what can be handed out now, oldest first.
    private mutating func dispatch() {
        if isShutDown {
            for slot in slots.indices where slots[slot].phase == .shared(inFlight: 0) { close(slot) }
            return finishIfClosed()
        }
        while true {
            let exclusive = exclusives.first?.ticket ?? .max
            let oneShot = oneShots.first?.ticket ?? .max
            let leaseIsNext = exclusive < oneShot
            if exclusive != .max, lentCount < exclusiveLimit {
                if leaseIsNext, let slot = slots.firstIndex(where: { $0.phase == .shared(inFlight: 0) && !$0.isHeld }) {
                    guard let waiting = exclusives.popFirst() else { return }
                    reserved = nil
                    slots[slot].phase = .lent
                    actions.append(.lend(waiting.waiter, slot))
                    continue
                }
                reserved = reserved ?? leastLoaded(besides: nil)
            } else {
                reserved = nil
            }
            guard oneShot != .max, let slot = leastLoaded(besides: leaseIsNext ? reserved : nil),
                case .shared(let inFlight) = slots[slot].phase, let waiting = oneShots.popFirst()
            else { return }
            slots[slot].phase = .shared(inFlight: inFlight + 1)
            actions.append(.send(waiting.waiter, slot))
        }
    }

    private func leastLoaded(besides excluded: Int?) -> Int? {
        var best: Int?
        var load = depth
        for slot in slots.indices where slot != excluded && !slots[slot].isHeld {
            if case .shared(let inFlight) = slots[slot].phase, inFlight < load { (best, load) = (slot, inFlight) }
        }
        return best
    }
}
