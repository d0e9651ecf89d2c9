import Contract
import Crypto

/// Time-based one-time passwords (RFC 6238 with SHA-1, 30 seconds and 6 digits, which is what every authenticator app understands).
public struct TimeBasedCode: Sendable {
    /// Seconds that a code is shown for.
    static let period: Int64 = 30
    /// How many periods a clock may be off, either way.
    static let window: Int64 = 1
    static let secretBytes = 20

    /// What the app and the gateway share. To be stored sealed.
    public let secret: [UInt8]
    private let digits: Int

    /// A new secret of 160 random bits.
    public init() { self.init(secret: RandomBytes.make(Self.secretBytes)) }

    /// A secret that was stored.
    public init(secret: [UInt8]) { self.init(secret: secret, digits: 6) }

    init(secret: [UInt8], digits: Int) {
        self.secret = secret
        self.digits = digits
    }

    /// The period that `code` belongs to, among those around `now` that come after `lastStep`; nil where it belongs to none. Store what
    /// comes back as the new `lastStep` by `UPDATE ... WHERE last_step < $1` before letting anybody in, so that a
    /// code works once (RFC 6238 §5.2).
    public func step(of code: String, at now: Timestamp, after lastStep: Int64?) -> Int64? {
        let current = Self.step(at: now)
        var found: Int64?
        // Every candidate is computed and compared, whichever fits.
        for step in (current - Self.window)...(current + Self.window) where ConstantTime.equals(self.code(step: step).utf8, code.utf8) {
            found = found ?? step
        }
        guard let found, lastStep.map({ found > $0 }) ?? true else { return nil }
        return found
    }

    /// The code that is shown at `now`.
    public func code(at now: Timestamp) -> String { code(step: Self.step(at: now)) }

    /// What a QR code shows: https://github.com/google/google-authenticator/wiki/Key-Uri-Format
    public func uri(issuer: String, account: String) -> String {
        let label = "\(Self.escaped(issuer)):\(Self.escaped(account))"
        return "otpauth://totp/\(label)?secret=\(Base32.encode(secret))&issuer=\(Self.escaped(issuer))"
            + "&algorithm=SHA1&digits=\(digits)&period=\(Self.period)"
    }

    private static func step(at time: Timestamp) -> Int64 { time.milliseconds / 1000 / period }

    /// RFC 4226 §5.3.
    private func code(step: Int64) -> String {
        let counter = withUnsafeBytes(of: step.bigEndian) { Array($0) }
        let digest = Array(HMAC<Insecure.SHA1>.authenticationCode(for: counter, using: SymmetricKey(data: secret)))
        let offset = Int(digest[digest.count - 1] & 0xF)
        var number = digest[offset..<offset + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
        var text: [UInt8] = []
        for _ in 0..<digits {
            text.append(UInt8(ascii: "0") + UInt8(number % 10))
            number /= 10
        }
        return String(decoding: text.reversed(), as: UTF8.self)
    }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            default: escaped += "%" + String(byte >> 4, radix: 16, uppercase: true) + String(byte & 15, radix: 16, uppercase: true)
            }
        }
        return escaped
    }
}

extension TimeBasedCode: CustomStringConvertible, CustomReflectable {
    public var description: String { "a time-based code" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
