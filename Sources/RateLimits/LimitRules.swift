import Contract

/// Which rule holds for which class of request and kind of subject, and who is exempt.
///
/// `docs/rate-limits.md` has the defaults as a table; a test holds the two together.
public struct LimitRules: Sendable, Equatable {
    /// Where no limit is in force, nothing is counted.
    public var isEnabled = true
    /// Addresses from which reads, searches and writes are not counted.
    public var exempt: [AddressBlock] = []
    private var rules: [RateRule?]

    public init() {
        rules = Array(repeating: nil, count: RateClass.allCases.count * RateSubjectKind.allCases.count)
        set(.read, address: (6000, 60), account: (3000, 60), key: (12_000, 60))
        set(.search, address: (600, 60), account: (300, 60), key: (1200, 60))
        set(.write, address: (300, 60), account: (120, 60), key: (6000, 60))
        set(.signIn, address: (60, 300), account: (30, 300), key: (30, 300), subject: (10, 300))
        set(.registration, address: (20, 3600), account: (20, 3600), key: (20, 3600), subject: (5, 3600))
        set(.recovery, address: (20, 3600), account: (10, 3600), key: (10, 3600), subject: (5, 3600))
    }

    private mutating func set(
        _ rateClass: RateClass, address: (Int, Int), account: (Int, Int), key: (Int, Int), subject: (Int, Int)? = nil
    ) {
        self[rateClass, .address] = RateRule(checked: address.0, address.1)
        self[rateClass, .account] = RateRule(checked: account.0, account.1)
        self[rateClass, .key] = RateRule(checked: key.0, key.1)
        self[rateClass, .subject] = subject.map { RateRule(checked: $0.0, $0.1) }
    }

    /// The rule for a class of requests of one kind of subject; nil where there is none.
    public subscript(rateClass: RateClass, kind: RateSubjectKind) -> RateRule? {
        get { rules[Self.index(rateClass, kind)] }
        set { rules[Self.index(rateClass, kind)] = newValue }
    }

    /// Takes a class's rules as settings write them: `600/60` for every kind of subject that has a rule, or some by name as
    /// `address=600/60 account=300/60`; the others keep theirs. False, with nothing changed, for anything else.
    public mutating func read(_ rateClass: RateClass, _ text: String) -> Bool {
        var changed = self
        for part in text.split(separator: " ") {
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let rule = words.last.flatMap({ RateRule($0) }) else { return false }
            let named = words.count == 2 ? RateSubjectKind(rawValue: String(words[0])) : nil
            guard words.count == 1 || named.map({ changed[rateClass, $0] != nil }) ?? false else { return false }
            for kind in named.map({ [$0] }) ?? RateSubjectKind.allCases where changed[rateClass, kind] != nil {
                changed[rateClass, kind] = rule
            }
        }
        guard !text.allSatisfy({ $0 == " " }) else { return false }
        self = changed
        return true
    }

    /// How settings write the rules that a class has.
    public func text(_ rateClass: RateClass) -> String {
        RateSubjectKind.allCases.compactMap { kind in self[rateClass, kind].map { "\(kind.rawValue)=\($0.text)" } }.joined(separator: " ")
    }

    func isExempt(_ rateClass: RateClass, _ address: ClientAddress) -> Bool {
        rateClass.isGeneral && exempt.contains { $0.contains(address) }
    }

    private static func index(_ rateClass: RateClass, _ kind: RateSubjectKind) -> Int {
        rateClass.index * RateSubjectKind.allCases.count + kind.index
    }
}

extension RateClass {
    /// Whether there are many requests of it: counted in bulk, and not at all from exempt addresses. The others are few and worth guessing
    /// at: counted one by one, from everywhere.
    var isGeneral: Bool {
        switch self {
        case .unlimited, .read, .search, .write: true
        case .signIn, .registration, .recovery: false
        }
    }
}
