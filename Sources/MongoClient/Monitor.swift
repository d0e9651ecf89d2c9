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
