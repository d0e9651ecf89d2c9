import CEpoll
import Glibc
import Synchronization
import Threads

/// One thread around one epoll set, and the serial executor of the actors whose sockets it watches.
///
/// A client whose C library does its own socket I/O (libpq) or whose parser is C (hiredis) puts each connection in an actor
/// that runs here: descriptors, timers and the actor's calls then share one thread, so C is never called from two threads at
/// once, never from a Swift task's thread and never from an event loop. Work on this thread must not block.
///
/// Descriptors and timers may be touched from this thread only, that is from an actor whose executor this is.
public final class Reactor: SerialExecutor {
    /// What a watched descriptor is ready for. A hang-up or an error counts as both, so that the owner's next call sees it.
    public struct Readiness: Sendable {
        public let canRead: Bool
        public let canWrite: Bool
    }

    /// A scheduled call; keep it to be able to cancel it.
    public struct Timer: Sendable, Hashable {
        fileprivate let deadline: ContinuousClock.Instant
        fileprivate let serial: UInt64
    }

    private enum Work: Sendable {
        case job(UnownedJob)
        case call(@Sendable () -> Void)
    }

    private struct Inbox: Sendable {
        var work: [Work] = []
        var sleeping = false
        /// Set by `shutdown`; the thread ends once it has nothing left to do.
        var stopping = false
        /// The thread has ended; whoever hands something over runs it, one at a time.
        var ended = false
        var runningAfterEnd = false
    }

    private let inbox = Locked(Inbox())
    private let epoll: Int32
    private let wake: Int32
    private let thread = Atomic<UInt>(0)
    private let confined = Confined()

    /// State that only the reactor's thread touches; `Reactor` is its only holder.
    private final class Confined: @unchecked Sendable {
        // Unchecked: every access happens on the reactor's thread, which `requireThread` asserts in debug builds.
        var handlers: [Int32: @Sendable (Readiness) -> Void] = [:]
        var timers: [Timer: @Sendable () -> Void] = [:]
        var order = TimerHeap()
        var serial: UInt64 = 0
        /// Swapped with the inbox's, so that neither is allocated anew.
        var work: [Work] = []
    }

    /// Starts the thread. `name` is what tools such as `top -H` show; the system keeps 15 bytes of it.
    public init(name: String) {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wake = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        var event = epoll_event(events: UInt32(EPOLLIN.rawValue), data: epoll_data_t(fd: wake))
        epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event)
        do throws(ThreadRefusal) {
            try startThread(named: name) { [self] in run() }
        } catch {
            // Only at start-up, before any request: without its thread the process can serve nothing.
            fatalError("\(error)")
        }
    }

    deinit {
        // Only here: a late `signal` must not write to a descriptor that is somebody else's by now.
        close(wake)
        close(epoll)
    }

    /// Stops the thread after the jobs it already holds. Shut the clients down first: descriptors and timers are dead from here on.
    /// Later jobs are still run, one at a time, on the thread that hands them over, so that no task hangs.
    public func shutdown() {
        inbox.withLock { $0.stopping = true }
        signal()
    }

    // MARK: Executor

    public func enqueue(_ job: consuming ExecutorJob) { hand(.job(UnownedJob(job))) }

    /// Calls `body` on the reactor's thread, after what was handed over before, from this thread or through it.
    public func perform(_ body: @escaping @Sendable () -> Void) { hand(.call(body)) }

    private func hand(_ work: Work) {
        enum Next { case wake, runHere, nothing }
        let next: Next = inbox.withLock { inbox in
            inbox.work.append(work)
            if inbox.ended {
                defer { inbox.runningAfterEnd = true }
                return inbox.runningAfterEnd ? .nothing : .runHere
            }
            defer { inbox.sleeping = false }
            return inbox.sleeping && !isOnThread ? .wake : .nothing
        }
        switch next {
        case .wake: signal()
        case .runHere:
            // An executor is not retained by the jobs it runs, and the last of them may let go of the last reference to it.
            let held = Unmanaged.passRetained(self)
            runAfterEnd()
            held.release()
        case .nothing: break
        }
    }

    public func isIsolatingCurrentContext() -> Bool? { isOnThread }

    public func checkIsolated() { requireThread() }

    // MARK: Descriptors and timers, on the reactor's thread

    /// Calls `handler` whenever `descriptor` is ready for what is asked (level-triggered), until `unwatch`. Replaces an earlier watch.
    public func watch(_ descriptor: Int32, read: Bool, write: Bool, _ handler: @escaping @Sendable (Readiness) -> Void) {
        requireThread()
        let known = confined.handlers.updateValue(handler, forKey: descriptor) != nil
        control(known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, read: read, write: write)
    }

    /// Changes what a watched descriptor is waited for; the handler stays.
    public func update(_ descriptor: Int32, read: Bool, write: Bool) {
        requireThread()
        guard confined.handlers[descriptor] != nil else { return }
        control(EPOLL_CTL_MOD, descriptor, read: read, write: write)
    }

    /// Forgets a descriptor. Must come before the descriptor is closed.
    public func unwatch(_ descriptor: Int32) {
        requireThread()
        guard confined.handlers.removeValue(forKey: descriptor) != nil else { return }
        var event = epoll_event()
        epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &event)
    }

    /// Calls `body` once, at `deadline` or soon after.
    @discardableResult
    public func schedule(at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> Timer {
        requireThread()
        confined.serial += 1
        let timer = Timer(deadline: deadline, serial: confined.serial)
        confined.timers[timer] = body
        confined.order.push(timer.deadline, timer.serial)
        return timer
    }

    /// Forgets a scheduled call; harmless when it has run.
    public func cancel(_ timer: Timer) {
        requireThread()
        confined.timers[timer] = nil
        // Cancelled ones are dropped once they are most of the heap, so that many far deadlines that are met do not pile up.
        guard confined.order.count > 2 * confined.timers.count + 64 else { return }
        confined.order.keep { confined.timers[Timer(deadline: $0.deadline, serial: $0.serial)] != nil }
    }

    /// Scheduled calls, with those cancelled ones that are not yet forgotten.
    var waitingTimers: Int { confined.order.count }

    // MARK: The thread

    private var isOnThread: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    private func requireThread() { assert(isOnThread, "touched off the reactor's thread") }

    private func run() {
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        let capacity = 64
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: capacity)
        defer { events.deallocate() }
        while true {
            let ended = drainInbox()
            if ended { return }
            runDueTimers()
            let count = epoll_wait(epoll, events, Int32(capacity), sleepMilliseconds())
            inbox.withLock { $0.sleeping = false }
            for index in 0..<max(0, Int(count)) { dispatch(events[index]) }
        }
    }

    private func dispatch(_ event: epoll_event) {
        if event.data.fd == wake {
            var count: UInt64 = 0
            _ = Glibc.read(wake, &count, 8)
            return
        }
        let broken = event.events & UInt32(EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
        confined.handlers[event.data.fd]?(
            Readiness(
                canRead: broken || event.events & UInt32(EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0,
                canWrite: broken || event.events & UInt32(EPOLLOUT.rawValue) != 0))
    }

    /// Runs what was handed over, and what that hands over, a few rounds of it so that descriptors and timers get their turn. Marks the
    /// thread asleep when nothing is left; true once the thread has ended.
    private func drainInbox() -> Bool {
        for _ in 0..<4 {
            let ended = inbox.withLock { inbox in
                swap(&inbox.work, &confined.work)
                inbox.sleeping = confined.work.isEmpty
                inbox.ended = inbox.stopping && confined.work.isEmpty
                if inbox.ended { thread.store(0, ordering: .relaxed) }
                return inbox.ended
            }
            if ended || confined.work.isEmpty { return ended }
            runWork()
        }
        return false
    }

    private func runWork() {
        for work in confined.work {
            switch work {
            case .job(let job): job.runSynchronously(on: asUnownedSerialExecutor())
            case .call(let body): body()
            }
        }
        confined.work.removeAll(keepingCapacity: true)
    }

    private func runAfterEnd() {
        while true {
            let isEmpty = inbox.withLock { inbox in
                swap(&inbox.work, &confined.work)
                inbox.runningAfterEnd = !confined.work.isEmpty
                thread.store(inbox.runningAfterEnd ? UInt(pthread_self()) : 0, ordering: .relaxed)
                return confined.work.isEmpty
            }
            if isEmpty { return }
            runWork()
        }
    }

    private func runDueTimers() {
        let now = ContinuousClock.now
        while let next = confined.order.first, next.deadline <= now {
            confined.order.removeFirst()
            confined.timers.removeValue(forKey: Timer(deadline: next.deadline, serial: next.serial))?()
        }
    }

    private func sleepMilliseconds() -> Int32 {
        guard inbox.withLock({ $0.sleeping }) else { return 0 }
        while let next = confined.order.first, confined.timers[Timer(deadline: next.deadline, serial: next.serial)] == nil {
            confined.order.removeFirst()
        }
        guard let next = confined.order.first else { return -1 }
        let (seconds, attoseconds) = (next.deadline - .now).components
        // A wait that is too long for epoll is cut short, and gone on with.
        let milliseconds = min(max(0, seconds), 1_000_000) * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return Int32(max(0, milliseconds))
    }

    private func control(_ operation: Int32, _ descriptor: Int32, read: Bool, write: Bool) {
        var wanted: UInt32 = 0
        if read { wanted |= UInt32(EPOLLIN.rawValue | EPOLLRDHUP.rawValue) }
        if write { wanted |= UInt32(EPOLLOUT.rawValue) }
        var event = epoll_event(events: wanted, data: epoll_data_t(fd: descriptor))
        epoll_ctl(epoll, operation, descriptor, &event)
    }

    private func signal() {
        var one: UInt64 = 1
        _ = Glibc.write(wake, &one, 8)
    }
}
