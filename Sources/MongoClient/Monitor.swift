import CMongoC
import Glibc

/// A POSIX mutex with two conditions: one for workers that want a job, one for the alarm that wants a time.
///
/// `@unchecked Sendable`: the three C objects sit at fixed addresses, are made before anyone shares the monitor, and are
/// what POSIX offers for calling from any thread.
final class Monitor: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let work = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let time = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(work, &attributes)
        pthread_cond_init(time, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(time)
        pthread_cond_destroy(work)
        pthread_mutex_destroy(mutex)
        time.deallocate()
        work.deallocate()
        mutex.deallocate()
    }

    func withLock<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    // The following are for the holder of the lock.

    func waitForWork() { pthread_cond_wait(work, mutex) }
    func wakeWorker() { pthread_cond_signal(work) }
    func wakeAlarm() { pthread_cond_signal(time) }

    func wakeAll() {
        pthread_cond_broadcast(work)
        pthread_cond_broadcast(time)
    }

    /// Waits until woken, or until `deadline`, or an hour.
    func waitForTime(until deadline: ContinuousClock.Instant?) {
        guard let deadline else {
            pthread_cond_wait(time, mutex)
            return
        }
        let left = max(.zero, min(ContinuousClock.now.duration(to: deadline), .seconds(3600))).components
        var moment = timespec()
        clock_gettime(CLOCK_MONOTONIC, &moment)
        moment.tv_sec += Int(left.seconds)
        // A nanosecond more, lest it wake a moment too early and go round once more.
        moment.tv_nsec += Int(left.attoseconds / 1_000_000_000) + 1
        if moment.tv_nsec >= 1_000_000_000 {
            moment.tv_sec += 1
            moment.tv_nsec -= 1_000_000_000
        }
        pthread_cond_timedwait(time, mutex, &moment)
    }
}

/// Starts a detached thread with a name that `top -H` shows, at most 15 bytes.
/// - Throws: `.refused` when the system gives no thread.
func startThread(named name: String, _ body: @escaping @Sendable () -> Void) throws(MongoError) {
    final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    let start = Unmanaged.passRetained(Start(name, body))
    let status = pthread_create(
        &thread, &attributes,
        { argument in
            guard let argument else { return nil }
            let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
            nameThread(start.name)
            start.body()
            return nil
        }, start.toOpaque())
    guard status == 0 else {
        start.release()
        throw MongoError(.refused, detail: "pthread_create: \(status)")
    }
}

/// `pthread_setname_np` is a GNU extension that Swift's C library module leaves out; the kernel's file does the same.
private func nameThread(_ name: String) {
    let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    _ = write(file, name, name.utf8.count)
    close(file)
}
