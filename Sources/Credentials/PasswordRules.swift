/// Which passwords may be chosen. No rules about kinds of characters (NIST SP 800-63B §3.1.1.2): length and rarity are what counts.
public struct PasswordRules: Sendable {
    static let leastCharacters = 8

    private let common: CommonPasswords

    public init(common: CommonPasswords) { self.common = common }

    /// What is wrong with a new password, as a complaint about its field; nil where nothing is. `names` are what the account is known
    /// by, its e-mail address and username, none of which may be its password.
    public func complaint(_ password: String, names: [String] = []) -> String? {
        guard password.unicodeScalars.count >= Self.leastCharacters else { return "must have at least \(Self.leastCharacters) characters" }
        guard password.utf8.count <= BcryptHash.longestPassword else {
            return "must have at most \(BcryptHash.longestPassword) bytes in UTF-8"
        }
        guard !password.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return "holds a control character" }
        let folded = password.lowercased()
        if names.contains(where: { $0.lowercased() == folded || $0.lowercased().prefix { $0 != "@" } == folded[...] }) {
            return "must not be the name of its account"
        }
        return common.contains(password) ? "is one of the passwords that are guessed first" : nil
    }
}
