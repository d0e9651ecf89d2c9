import Glibc

/// Owns one TCP connection: its socket, the bytes that wait to be sent, and the parser of those that come. Nothing here blocks.
final class Wire {
    let descriptor: Int32
    private var reader: ReplyReader
    private var outgoing: [UInt8] = []
    private var sent = 0
    private let incoming: UnsafeMutableRawBufferPointer

    /// hiredis moves what is left of its buffer down after every kilobyte that was parsed, so it is fed in small portions.
    private static let portion = 16 << 10
    /// A buffer that grew beyond this for a large command is given back once it is sent.
    private static let keptBuffer = 256 << 10
    /// How often in a row a socket is read before others get their turn.
    private static let readLimit = 16

    /// Starts to connect. The descriptor is writable once that has succeeded or failed.
    init(to address: Address, _ configuration: RedisConfiguration) throws(RedisError) {
        guard let reader = ReplyReader(replyLimit: configuration.replyLimit) else { throw RedisError(.connection, "out of memory") }
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, kind, 0)
        guard descriptor >= 0 else { throw Self.failure("socket", errno) }
        self.descriptor = descriptor
        self.reader = reader
        incoming = .allocate(byteCount: 64 << 10, alignment: 16)
        set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
        set(Int32(IPPROTO_TCP), TCP_KEEPIDLE, Int(configuration.keepaliveIdle / .seconds(1)))
        set(Int32(IPPROTO_TCP), TCP_KEEPINTVL, Int(configuration.keepaliveInterval / .seconds(1)))
        set(Int32(IPPROTO_TCP), TCP_KEEPCNT, configuration.keepaliveCount)
        set(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Int(configuration.unacknowledgedTimeout / .milliseconds(1)))
        let status = address.withPointer { connect(descriptor, $0, $1) }
        guard status == 0 || errno == EINPROGRESS else { throw Self.failure("connect", errno) }
    }

    deinit {
        close(descriptor)
        incoming.deallocate()
    }

    /// Throws where connecting has failed.
    func finishConnecting() throws(RedisError) {
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length)
        guard error == 0 else { throw Self.failure("connect", error) }
    }

    // MARK: Sending

    /// True while `flush` must be called again once the socket is writable.
    var hasUnsent: Bool { sent < outgoing.count }

    /// Puts a command behind those that wait to be sent.
    func put(_ command: RedisCommand) { outgoing.append(contentsOf: command.bytes) }

    /// Sends what the socket takes.
    func flush() throws(RedisError) {
        while hasUnsent {
            let count = outgoing.withUnsafeBytes {
                send(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                let error = errno
                if error == EINTR { continue }
                guard error == EAGAIN || error == ENOTCONN else { throw Self.failure("send", error) }
                return
            }
            sent += count
        }
        outgoing.removeAll(keepingCapacity: outgoing.capacity <= Self.keptBuffer)
        sent = 0
    }

    // MARK: Receiving

    /// Reads what has arrived and hands out every reply that is complete. Throws where the connection is of no more use.
    func receive(_ body: (RedisValue) throws(RedisError) -> Void) throws(RedisError) {
        for _ in 0..<Self.readLimit {
            let count = recv(descriptor, incoming.baseAddress, incoming.count, 0)
            if count < 0 {
                let error = errno
                if error == EINTR { continue }
                guard error == EAGAIN else { throw Self.failure("receive", error) }
                return
            }
            guard count > 0 else { throw RedisError(.connection, "closed by the server") }
            var start = 0
            while start < count {
                let end = min(count, start + Self.portion)
                try reader.feed(UnsafeRawBufferPointer(rebasing: incoming[start..<end]))
                while let reply = try reader.next() { try body(reply) }
                start = end
            }
            if count < incoming.count { return }
        }
    }

    private func set(_ level: Int32, _ option: Int32, _ value: Int) {
        var value = Int32(clamping: value)
        setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func failure(_ call: String, _ number: Int32) -> RedisError {
        RedisError(.connection, "\(call): \(String(cString: strerror(number)))")
    }
}
