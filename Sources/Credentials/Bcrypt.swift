import CCrypt
import Glibc

/// A stored bcrypt hash, of a shape that can be verified: `$2b$12$` and 53 characters.
struct BcryptHash: Sendable {
    /// Each step doubles the work. A hash beyond these would hold a thread for many seconds, or be no protection.
    static let costs = 4...15
    /// bcrypt reads no further.
    static let longestPassword = 72

    let text: String
    let cost: Int
    /// Whether it has the prefix that new hashes get. `$2a$` and `$2y$` name the same function for whatever libxcrypt made.
    let isCurrentForm: Bool

    /// Nil for everything else: another function, another length, a cost that is out of bounds, foreign characters.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 60, ["$2a$", "$2b$", "$2y$"].contains(where: text.hasPrefix), bytes[6] == UInt8(ascii: "$"),
            let tens = Self.digit(bytes[4]), let ones = Self.digit(bytes[5]), Self.costs.contains(tens * 10 + ones),
            bytes[7...].allSatisfy(Self.isOfAlphabet)
        else { return nil }
        self.text = text
        cost = tens * 10 + ones
        isCurrentForm = bytes[2] == UInt8(ascii: "b")
    }

    private static func digit(_ byte: UInt8) -> Int? {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) ? Int(byte - UInt8(ascii: "0")) : nil
    }

    private static func isOfAlphabet(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}

/// What one thread hashes with: the 32 KiB that libxcrypt works in, overwritten after each hash.
final class BcryptWorkspace {
    private static let size = MemoryLayout<crypt_data>.size
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: MemoryLayout<crypt_data>.alignment)

    init() { wipe() }

    deinit { memory.deallocate() }

    /// The hash of `password` with the cost and salt of `setting`, which may be a whole hash. Nil where libxcrypt refuses the setting.
    func hash(_ password: String, setting: String) -> String? {
        defer { wipe() }
        return crypt_rn(password, setting, memory, Int32(Self.size)).map { String(cString: $0) }
    }

    /// A new hash, of 128 random bits of salt. Nil where libxcrypt refuses the cost or the system gives no random bits.
    func newHash(_ password: String, cost: Int) -> String? {
        var setting = [CChar](repeating: 0, count: Int(CRYPT_GENSALT_OUTPUT_SIZE))
        guard crypt_gensalt_rn("$2b$", UInt(cost), nil, 0, &setting, Int32(setting.count)) != nil else { return nil }
        let text = String(decoding: setting.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return hash(password, setting: text)
    }

    /// The same work as a hash of that cost, for nothing.
    func toil(_ password: String, cost: Int) {
        _ = hash(password, setting: "$2b$\(cost < 10 ? "0" : "")\(cost)$......................")
    }

    private func wipe() { memset(memory, 0, Self.size) }
}
