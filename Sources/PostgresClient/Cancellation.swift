import CLibPQ
import Synchronization

/// A request to the server to cancel a connection's current statement. Unchecked: libpq's handle is a copy of its own, which any one
/// thread may use, and only the helper thread does.
final class Cancellation: @unchecked Sendable {
    private let handle: OpaquePointer
    /// Cleared when the statement has been answered, so that it is not the next one that is hit.
    let isWanted = Atomic<Bool>(true)

    init(stealing handle: OpaquePointer) { self.handle = handle }

    deinit { PQfreeCancel(handle) }

    /// Opens a connection of its own to the server, and blocks until the server has taken the request.
    func perform() {
        guard isWanted.load(ordering: .relaxed) else { return }
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(handle, &message, Int32(message.count))
    }
}
