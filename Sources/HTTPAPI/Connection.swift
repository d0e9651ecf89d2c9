import Contract
import NIOCore
import Synchronization

/// What the task that serves a connection and the handler in its channel tell each other.
final class Connection: Sendable {
    /// The other end of the socket: a client, or a proxy.
    let peer: ClientAddress

    private let request = Atomic<UInt64>(0)
    private let late = Atomic<Bool>(false)
    private let parting = Atomic<Bool>(false)
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(peer: ClientAddress) { self.peer = peer }

    /// Whether the request that was begun last has been answered `timeout` meanwhile.
    var isLate: Bool { late.load(ordering: .acquiring) }

    /// Whether the last answer of this connection is on its way, or out.
    var isParting: Bool { parting.load(ordering: .relaxed) }

    /// Says that the answer which is written next is the last one.
    func part() { parting.store(true, ordering: .relaxed) }

    /// Says which request is answered from here on.
    func begin(_ id: RequestID) { request.store(id.rawValue, ordering: .relaxed) }

    /// Runs `body` in a task of its own, which `giveUp` cancels, until it is done.
    func run(_ body: @escaping @Sendable () async -> Void) async {
        let task = Task(operation: body)
        self.task.withLock { $0 = task }
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        self.task.withLock { $0 = nil }
    }

    /// Cancels what is under way, and says for which request.
    func giveUp() -> RequestID {
        late.store(true, ordering: .releasing)
        task.withLock { $0 }?.cancel()
        return RequestID(rawValue: request.load(ordering: .relaxed))
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
