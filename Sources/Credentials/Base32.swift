import Contract

/// Base32 without padding (RFC 4648 §6), as authenticator apps and people read it.
public enum Base32 {
    private static let text = UnpaddedText(
        alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", others: "abcdefghijklmnopqrstuvwxyz234567")

    /// The text, in capitals, that `decode` reads back.
    public static func encode(_ bytes: [UInt8]) -> String { text.encode(bytes) }

    /// Reads either case. Nil for a foreign character, an impossible length, or bits left over that are not zero.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? { Self.text.decode(text) }
}
