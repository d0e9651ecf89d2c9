import Glibc

/// The system gives no thread.
public struct ThreadRefusal: Error, Sendable, CustomStringConvertible {
    /// The thread's name.
    public let name: String
    /// What `pthread_create` returned, such as `EAGAIN`.
    public let number: Int32

    public var description: String { "the system gives no thread for \(name): error \(number)" }
}

/// Starts a detached thread that runs `body` and ends. For C libraries that block, and for what must not share a thread with anybody.
///
/// `name` is what `top -H` shows: the system keeps 15 bytes of it. Throws where the system gives no thread.
public func startThread(named name: String, _ body: @escaping @Sendable () -> Void) throws(ThreadRefusal) {
    final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) { (self.name, self.body) = (name, body) }
    }
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    let start = Unmanaged.passRetained(Start(name, body))
    let number = pthread_create(
        &thread, &attributes,
        { argument in
            guard let argument else { return nil }
            let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
            nameThread(start.name)
            start.body()
            return nil
        }, start.toOpaque())
    guard number == 0 else {
        start.release()
        throw ThreadRefusal(name: name, number: number)
    }
}

/// `pthread_setname_np` is a GNU extension that Swift's C library module leaves out; the kernel's file does the same. A thread that stays
/// without its name works as well.
private func nameThread(_ name: String) {
    let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    _ = write(file, name, name.utf8.count)
    close(file)
}
