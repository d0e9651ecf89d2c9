import Glibc

/// State behind a lock. A pthread mutex rather than `Synchronization.Mutex`, because ThreadSanitizer sees the former alone, and a race
/// check that cannot see the hand-over between threads reports nothing but noise.
final class Locked<State: Sendable>: @unchecked Sendable {
    // Unchecked: `state` is touched only while `mutex` is held.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var state: State

    init(_ state: State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<T>(_ body: (inout State) -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&state)
    }
}
