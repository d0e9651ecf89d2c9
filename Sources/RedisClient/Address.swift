import Glibc

/// A socket address.
struct Address: Sendable {
    private let storage: sockaddr_storage
    private let length: socklen_t

    var family: Int32 { Int32(storage.ss_family) }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    /// The address that a literal stands for; empty for a name. Never blocks.
    static func literal(_ host: String, port: Int) -> [Address] { find(host, port, flags: AI_NUMERICHOST) }

    /// The addresses of a name, in the system's order of preference. Blocks.
    static func resolve(_ host: String, port: Int) -> [Address] { find(host, port, flags: 0) }

    private static func find(_ host: String, _ port: Int, flags: Int32) -> [Address] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var addresses: [Address] = []
        var next = list
        while let entry = next?.pointee {
            var storage = sockaddr_storage()
            withUnsafeMutableBytes(of: &storage) { bytes in
                bytes.copyMemory(from: UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen)))
            }
            addresses.append(Address(storage: storage, length: entry.ai_addrlen))
            next = entry.ai_next
        }
        return addresses
    }
}
