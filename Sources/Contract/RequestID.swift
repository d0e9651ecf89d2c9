import Synchronization

/// Names one request in answers and logs: 64 bits as 16 hexadecimal digits. Unlike any other of this process, and most likely of others.
public struct RequestID: Sendable, Hashable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// SplitMix64 (Steele et al., OOPSLA '14) from a random start: no system call for each request.
    public init() {
        var bits = Self.sequence.wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed).newValue
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        self.init(rawValue: bits ^ bits >> 31)
    }

    private static let sequence = Atomic<UInt64>(.random(in: .min ... .max))

    public var description: String {
        String(unsafeUninitializedCapacity: 16) { buffer in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: rawValue >> UInt64(60 - 4 * index)) & 0xF
                buffer[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
            }
            return 16
        }
    }
}
