import Dispatch
import Glibc
import Reactor

extension PostgresCore {
    /// Begins to connect a place in the pool: resolves names where there are any, then lets libpq do its handshake.
    func connect(_ slot: Int) {
        links[slot].generation += 1
        links[slot].began = .now
        links[slot].firstServer = firstServer
        let generation = links[slot].generation
        links[slot].timer = reactor.schedule(at: .now + configuration.connectTimeout) { [weak self] in
            self?.assumeIsolated { core in
                core.links[slot].timer = nil
                core.failToOpen(slot, "no answer within \(core.configuration.connectTimeout)")
            }
        }
        let servers = configuration.servers[firstServer...] + configuration.servers[..<firstServer]
        if servers.allSatisfy({ !isName($0.host) }) { return begin(slot, servers.flatMap(endpoints)) }
        resolving.async { [self] in
            let endpoints = servers.flatMap(endpoints)
            perform { core in
                guard core.links[slot].generation == generation else { return }
                if endpoints.isEmpty {
                    core.failToOpen(slot, "the name of the server cannot be resolved")
                } else {
                    core.begin(slot, endpoints)
                }
            }
        }
    }

    /// The server that this place asked first is of no use. libpq goes on to the next one where a connection is refused, but would wait
    /// for ever for one that says nothing, and gives up at one that has too many clients, say: so later attempts begin with the next.
    func passOver(_ slot: Int) {
        guard links[slot].firstServer == firstServer else { return }
        firstServer = (firstServer + 1) % configuration.servers.count
    }

    private func begin(_ slot: Int, _ endpoints: [PostgresConfiguration.Endpoint]) {
        let connection = Connection(
            slot: slot, parameters: configuration.parameters(endpoints), statementLimit: configuration.statementLimit,
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
        passOver(slot)
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

/// True for what must be resolved: neither a literal address nor a directory.
private func isName(_ host: String) -> Bool {
    var address = in6_addr()
    return !host.hasPrefix("/") && inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1
}

/// Where a server can be reached; nowhere, where its name cannot be resolved. Blocks for a name.
private func endpoints(_ server: PostgresConfiguration.Server) -> [PostgresConfiguration.Endpoint] {
    let addresses = isName(server.host) ? resolve(server.host) : [server.host.hasPrefix("/") ? "" : server.host]
    return addresses.map { PostgresConfiguration.Endpoint(host: server.host, port: server.port, address: $0) }
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
