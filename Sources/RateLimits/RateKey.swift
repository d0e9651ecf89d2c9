import Contract
import Crypto

/// One rule and one subject: what is counted together.
struct RateKey: Hashable, Sendable {
    let rateClass: RateClass
    let kind: RateSubjectKind
    /// The subject, whole; of a text the first half of its SHA-256.
    private let high: UInt64
    private let low: UInt64

    static func == (left: RateKey, right: RateKey) -> Bool {
        left.high == right.high && left.low == right.low && left.place == right.place
    }

    /// By what differs in bits: a case's own hash would be that of its name.
    func hash(into hasher: inout Hasher) {
        hasher.combine(high)
        hasher.combine(low)
        hasher.combine(place)
    }

    private var place: Int { rateClass.index << 2 | kind.index }

    /// For spreading keys over locks.
    var mixed: UInt64 { (high ^ low &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(place)) &* 0xBF58_476D_1CE4_E5B9 >> 32 }

    /// An IPv4 address, or the /64 that an IPv6 client may choose from freely.
    init(_ rateClass: RateClass, _ address: ClientAddress) {
        self.init(
            rateClass, .address, address.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, address.bytes.count == 4 ? 4 : 16)
    }

    /// The account or key that a principal is; nil for one that is neither.
    init?(_ rateClass: RateClass, _ principal: Principal) {
        switch principal {
        case .account(let account): self.init(rateClass, .account, account.id)
        case .service(let access): self.init(rateClass, .key, access.keyID)
        case .anonymous, .authenticator, .system: return nil
        }
    }

    init(_ rateClass: RateClass, subject: String) {
        let half = SHA256.hash(data: Array(subject.utf8)).prefix(16).reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        self.init(rateClass, .subject, UInt64(truncatingIfNeeded: half >> 64), UInt64(truncatingIfNeeded: half))
    }

    private init(_ rateClass: RateClass, _ kind: RateSubjectKind, _ id: EntityID) {
        self.init(rateClass, kind, UInt64(truncatingIfNeeded: id.rawValue >> 64), UInt64(truncatingIfNeeded: id.rawValue))
    }

    private init(_ rateClass: RateClass, _ kind: RateSubjectKind, _ high: UInt64, _ low: UInt64) {
        (self.rateClass, self.kind, self.high, self.low) = (rateClass, kind, high, low)
    }

    /// What it is called in Redis. The rule's numbers are in it: under other numbers an instant means something else.
    func shared(_ rule: RateRule) -> String {
        let digest = SHA256.hash(data: Array("\(rateClass.rawValue) \(kind.rawValue) \(rule.text) \(high) \(low)".utf8))
        let digits = Array("0123456789abcdef".utf8)
        return "kb:limit:" + String(decoding: digest.prefix(16).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
