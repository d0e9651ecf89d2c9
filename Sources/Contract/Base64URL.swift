/// Base64 with the URL-safe alphabet and no padding (RFC 4648 §5).
public enum Base64URL {
    private static let text = UnpaddedText(alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    /// The text that `decode` reads back.
    public static func encode(_ bytes: [UInt8]) -> String { text.encode(bytes) }

    /// Nil for a foreign character, an impossible length, or bits left over that are not zero: every value has one spelling.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? { Self.text.decode(text) }
}
