import Glibc
import Synchronization
import Threads

/// A proxy on loopback between a client under test and its server, which does to the wire what networks do: cuts it, freezes it,
/// refuses new connections. One thread moves the bytes; the controls may be called from any thread and hold once they return.
final class TCPProxy: Sendable {
    /// Which way of a connection is frozen by `stall`.
    enum Direction { case both, answers }

    struct Failure: Error { let what: String, number: Int32 }

    /// The port that clients connect to, on 127.0.0.1. It stays reserved while `refuse` is in force.
    let port: UInt16
    private let target: UInt16
    private let reserve: Int32
    private let wake: (reader: Int32, writer: Int32)
    private let state: Mutex<State>

    private struct State {
        var listener: Int32 = -1
        var links: [Link] = []
        var stalled: Direction?
        var stopped = false
    }

    private struct Link {
        var requests: Pipe
        var answers: Pipe
    }

    /// One way of one connection: what was read from `source` and not yet written to `sink`.
    private struct Pipe {
        let source: Int32
        let sink: Int32
        var pending: [UInt8] = []
        var broken = false
    }

    /// Starts to accept on a free port and to connect each client to `target` on 127.0.0.1.
    init(target: UInt16) throws {
        self.target = target
        reserve = Self.socket()
        guard Self.bind(reserve, port: 0) else { throw Failure(what: "bind", number: errno) }
        port = Self.port(of: reserve)
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Failure(what: "pipe", number: errno) }
        for end in ends { Self.makeNonblocking(end) }
        wake = (ends[0], ends[1])
        state = Mutex(State())
        accept()
        try startThread(named: "proxy") { [self] in run() }
    }

    deinit {
        close(reserve)
        close(wake.reader)
        close(wake.writer)
    }

    /// Resets every connection that is open now; bytes on their way are lost.
    func cutAll() {
        state.withLock { state in
            for link in state.links { Self.reset(link) }
            state.links = []
        }
        signal()
    }

    /// Moves no more bytes, in both directions or only from the server to the client, as if the peer were frozen.
    /// Connections are still accepted.
    func stall(_ direction: Direction = .both) {
        state.withLock { $0.stalled = direction }
        signal()
    }

    /// Ends `stall`; what had been held back arrives.
    func resume() {
        state.withLock { $0.stalled = nil }
        signal()
    }

    /// Refuses new connections (`ECONNREFUSED`); those that are open live on.
    func refuse() {
        state.withLock { state in
            if state.listener >= 0 { close(state.listener) }
            state.listener = -1
        }
        signal()
    }

    /// Ends `refuse`.
    func accept() {
        state.withLock { state in
            guard state.listener < 0, !state.stopped else { return }
            let listener = Self.socket()
            guard Self.bind(listener, port: port), listen(listener, 512) == 0 else {
                close(listener)
                return
            }
            state.listener = listener
        }
        signal()
    }

    /// Cuts everything and ends the thread.
    func stop() {
        refuse()
        cutAll()
        state.withLock { $0.stopped = true }
        signal()
    }

    /// How many connections are open through the proxy.
    var connections: Int { state.withLock { $0.links.count } }

    // MARK: The thread

    private func run() {
        while true {
            guard var entries = state.withLock({ state in state.stopped ? nil : watched(state) }) else { return }
            poll(&entries, nfds_t(entries.count), -1)
            var signals = [UInt8](repeating: 0, count: 256)
            _ = read(wake.reader, &signals, signals.count)
            state.withLock { state in
                acceptWaiting(&state)
                for index in state.links.indices {
                    if state.stalled != .both { Self.move(&state.links[index].requests) }
                    if state.stalled == nil { Self.move(&state.links[index].answers) }
                }
                state.links.removeAll { link in
                    guard link.requests.broken || link.answers.broken else { return false }
                    close(link.requests.source)
                    close(link.requests.sink)
                    return true
                }
            }
        }
    }

    private func watched(_ state: borrowing State) -> [pollfd] {
        var entries = [pollfd(fd: wake.reader, events: Int16(POLLIN), revents: 0)]
        if state.listener >= 0 { entries.append(pollfd(fd: state.listener, events: Int16(POLLIN), revents: 0)) }
        for link in state.links {
            if state.stalled != .both { entries.append(Self.watched(link.requests)) }
            if state.stalled == nil { entries.append(Self.watched(link.answers)) }
        }
        return entries
    }

    private static func watched(_ pipe: Pipe) -> pollfd {
        pipe.pending.isEmpty
            ? pollfd(fd: pipe.source, events: Int16(POLLIN), revents: 0) : pollfd(fd: pipe.sink, events: Int16(POLLOUT), revents: 0)
    }

    private func acceptWaiting(_ state: inout State) {
        while state.listener >= 0 {
            let client = Glibc.accept(state.listener, nil, nil)
            guard client >= 0 else { return }
            Self.makeNonblocking(client)
            let server = Self.socket()
            var address = Self.loopback(target)
            let failed = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
            if failed != 0 && errno != EINPROGRESS {
                close(client)
                close(server)
                continue
            }
            for descriptor in [client, server] { Self.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY) }
            state.links.append(
                Link(requests: Pipe(source: client, sink: server), answers: Pipe(source: server, sink: client)))
        }
    }

    /// Moves what can be moved without waiting. An end of stream or an error breaks the connection, both ways.
    private static func move(_ pipe: inout Pipe) {
        var chunk = [UInt8](repeating: 0, count: 65536)
        while !pipe.broken {
            if pipe.pending.isEmpty {
                let count = recv(pipe.source, &chunk, chunk.count, 0)
                if count > 0 {
                    pipe.pending = Array(chunk[..<count])
                } else {
                    pipe.broken = count == 0 || !mustWait
                    return
                }
            }
            let sent = send(pipe.sink, pipe.pending, pipe.pending.count, Int32(MSG_NOSIGNAL))
            if sent < 0 {
                pipe.broken = !mustWait
                return
            }
            pipe.pending.removeFirst(sent)
        }
    }

    private static var mustWait: Bool { errno == EAGAIN || errno == EINTR || errno == ENOTCONN || errno == EINPROGRESS }

    private static func reset(_ link: Link) {
        for descriptor in [link.requests.source, link.requests.sink] {
            var now = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
            close(descriptor)
        }
    }

    private func signal() {
        var one: UInt8 = 1
        _ = write(wake.writer, &one, 1)
    }

    // MARK: Sockets

    private static func socket() -> Int32 {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        set(descriptor, SOL_SOCKET, SO_REUSEADDR)
        set(descriptor, SOL_SOCKET, SO_REUSEPORT)
        return descriptor
    }

    private static func makeNonblocking(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32) {
        var yes: Int32 = 1
        setsockopt(descriptor, level, option, &yes, 4)
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func bind(_ descriptor: Int32, port: UInt16) -> Bool {
        var address = loopback(port)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        } == 0
    }

    private static func port(of descriptor: Int32) -> UInt16 {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return UInt16(bigEndian: address.sin_port)
    }
}
