import Dispatch
import Glibc
import Reactor

extension PostgresCore {
    /// Begins to connect a place in the pool: resolves the name where there is one, then lets libpq do its handshake.
    func connect(_ slot: Int) {
        links[slot].generation += 1
        links[slot].began = .now
        let generation = links[slot].generation
        links[slot].timer = reactor.schedule(at: .now + configuration.connectTimeout) { [weak self] in
            self?.assumeIsolated { core in
                core.links[slot].timer = nil
                core.failToOpen(slot, "no answer within \(core.configuration.connectTimeout)")
            }
        }
        let host = configuration.host
        if host.hasPrefix("/") { return begin(slot, addresses: []) }
        if isLiteralAddress(host) { return begin(slot, addresses: [host]) }
        resolving.async { [self] in
            let addresses = resolve(host)
            perform { core in
                guard core.links[slot].generation == generation else { return }
                if addresses.isEmpty {
                    core.failToOpen(slot, "the name of the server cannot be resolved")
                } else {
                    core.begin(slot, addresses: addresses)
                }
            }
        }
    }

    private func begin(_ slot: Int, addresses: [String]) {
        let connection = Connection(
            slot: slot, parameters: configuration.parameters(addresses: addresses), statementLimit: configuration.statementLimit,
            onNotice: { [observe] message in observe(.notice(connection: slot, message)) })
        guard let connection else { return failToOpen(slot, "out of memory") }
        links[slot].connection = connection
        follow(connection, connection.start())
    }

    /// Lets libpq take the next step of its handshake. The descriptor may be another one after it, so it is watched anew.
    private func proceed(_ slot: Int) {
        guard let connection = links[slot].connection else { return }
        unwatch(connection)
        follow(connection, connection.proceed())
    }

    private func follow(_ connection: Connection, _ progress: Connection.Progress) {
        let slot = connection.slot
        switch progress {
        case .wantsRead, .wantsWrite:
            let forWrite = progress == .wantsWrite
            connection.watched = (connection.descriptor, forWrite)
            reactor.watch(connection.descriptor, read: !forWrite, write: forWrite) { [weak self] _ in
                self?.assumeIsolated { $0.proceed(slot) }
            }
        case .failed: failToOpen(slot, connection.errorMessage)
        case .open:
            if let timer = links[slot].timer { reactor.cancel(timer) }
            links[slot].timer = nil
            connection.lastByte = .now
            connection.watched = (connection.descriptor, false)
            reactor.watch(connection.descriptor, read: true, write: false) { [weak self] readiness in
                self?.assumeIsolated { $0.serve(slot, readiness) }
            }
            observe(.opened(connection: slot, after: .now - links[slot].began))
            pool.opened(slot)
            settle()
        }
    }

    private func failToOpen(_ slot: Int, _ message: String) {
        close(slot)
        lastOpenError = message
        pool.openFailed(slot)
        settle()
        observe(.openFailed(connection: slot, PostgresError(.connection, message)))
    }

    /// Lets go of a place's connection without a word to the pool.
    func close(_ slot: Int) {
        if let timer = links[slot].timer { reactor.cancel(timer) }
        links[slot].timer = nil
        links[slot].generation += 1
        if let connection = links[slot].connection { unwatch(connection) }
        links[slot].connection = nil
    }

    private func unwatch(_ connection: Connection) {
        if let (descriptor, _) = connection.watched { reactor.unwatch(descriptor) }
        connection.watched = nil
    }
}

private func isLiteralAddress(_ host: String) -> Bool {
    var address = in6_addr()
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
}

/// The addresses of a name, in the system's order of preference. Blocks.
private func resolve(_ host: String) -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var addresses: [String] = []
    var next = list
    while let entry = next?.pointee {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        if getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
            addresses.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        next = entry.ai_next
    }
    return addresses
}
