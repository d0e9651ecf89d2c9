/// The address of a client, IPv4 or IPv6. An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
public struct ClientAddress: Sendable, Hashable, CustomStringConvertible {
    /// 4 or 16 bytes, in network order.
    public let bytes: [UInt8]

    /// Nil unless there are 4 or 16 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let isMapped = bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        self.bytes = isMapped ? Array(bytes[12...]) : bytes
    }

    /// For connections that have no address, as over a Unix socket.
    public static let unknown = ClientAddress(unchecked: [0, 0, 0, 0])

    private init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    public var isLoopback: Bool { bytes.count == 4 ? bytes[0] == 127 : bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1 }

    /// What rate limits count by: an IPv4 address, or the /64 that an IPv6 client may choose from freely.
    public var network: ClientAddress {
        bytes.count == 4 ? self : ClientAddress(unchecked: Array(bytes[..<8]) + [UInt8](repeating: 0, count: 8))
    }

    public var description: String {
        if bytes.count == 4 { return bytes.map(String.init).joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2).map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }
            .joined(separator: ":")
    }
}
