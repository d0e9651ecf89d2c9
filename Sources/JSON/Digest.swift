/// A 64-bit fingerprint of bytes (FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/), eight bytes a step.
///
/// For entity tags and cursor orders: it tells versions of one thing apart and defends against nobody.
public struct Digest: Sendable {
    public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    public init() {}

    public init(_ bytes: some Collection<UInt8>) {
        self.init()
        update(bytes)
    }

    public mutating func update(_ bytes: some Collection<UInt8>) {
        var word: UInt64 = 0
        var count = 0
        for byte in bytes {
            word = word << 8 | UInt64(byte)
            count += 1
            if count & 7 == 0 {
                mix(word)
                word = 0
            }
        }
        mix(word)
        mix(UInt64(count))
    }

    private mutating func mix(_ word: UInt64) {
        value = (value ^ word) &* 0x0000_0100_0000_01b3
        value ^= value >> 29
    }
}
