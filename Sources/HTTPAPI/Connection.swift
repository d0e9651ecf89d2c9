import Contract
import NIOCore
import Synchronization

/// What the task that serves a connection and the handler in its channel tell each other.
final class Connection: Sendable {
    /// The other end of the socket: a client, or a proxy.
    let peer: ClientAddress

    private struct State {
        var task: Task<Void, Never>?
        /// The request that the task works on, or worked on last.
        var begun: RequestID?
        var isLate = false
    }

    private let state = Mutex(State())
    private let parting = Atomic<Bool>(false)

    init(peer: ClientAddress) { self.peer = peer }

    /// Whether a request has been answered `timeout` past the task.
    var isLate: Bool { state.withLock { $0.isLate } }

    /// Whether the last answer of this connection is on its way, or out.
    var isParting: Bool { parting.load(ordering: .relaxed) }

    /// Says that the answer which is written next is the last one.
    func part() { parting.store(true, ordering: .relaxed) }

    /// Says which request is worked on from here on; false where there is nothing to work on any more.
    func begin(_ id: RequestID) -> Bool {
        state.withLock { state in
            guard !state.isLate else { return false }
            state.begun = id
            return true
        }
    }

    /// Runs `body` in a task of its own, which `giveUp` cancels, until it is done.
    func run(_ body: @escaping @Sendable () async -> Void) async {
        let task = Task(operation: body)
        state.withLock { $0.task = task }
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        state.withLock { $0.task = nil }
    }

    /// Cancels what is under way, and says whether `id` is: the task then says what has become of it.
    func giveUp(_ id: RequestID) -> Bool {
        let (task, isBegun) = state.withLock { state in
            state.isLate = true
            return (state.task, state.begun == id)
        }
        task?.cancel()
        return isBegun
    }
}

/// How many connections each address has.
final class ConnectionCounts: Sendable {
    private let most: Int
    private let counts = Mutex<[ClientAddress: Int]>([:])

    init(most: Int) { self.most = most }

    /// False, with nothing counted, where the address has enough.
    func open(_ address: ClientAddress) -> Bool {
        counts.withLock { counts in
            let count = counts[address.network, default: 0]
            guard count < most else { return false }
            counts[address.network] = count + 1
            return true
        }
    }

    func close(_ address: ClientAddress) {
        counts.withLock { counts in
            let count = counts[address.network, default: 0]
            counts[address.network] = count > 1 ? count - 1 : nil
        }
    }
}

extension ClientAddress {
    /// The address of a socket's other end; `unknown` where it has none.
    init(_ address: SocketAddress?) { self = address?.ipAddress.flatMap { ClientAddress($0) } ?? .unknown }
}
