import HTTPTypes

/// The cookies that carry a session. The prefix makes browsers refuse them from other hosts, without TLS, or for a part of the site
/// (RFC 6265bis §4.1.3.2).
public enum SessionCookie {
    public static let access = "__Host-kababeat_access"
    public static let refresh = "__Host-kababeat_refresh"
}

/// A cookie as an answer sets it: for the whole site, out of reach of scripts, over TLS alone, not sent along from other sites' forms.
public struct SetCookie: Sendable, Hashable {
    public let name: String
    public let value: String
    public let lifetime: Duration

    /// `value` is made of letters, digits and `-._~`.
    public init(_ name: String, _ value: String, lifetime: Duration) {
        self.name = name
        self.value = value
        self.lifetime = lifetime
    }

    /// Takes the cookie away from its browser.
    public static func removing(_ name: String) -> SetCookie { SetCookie(name, "", lifetime: .zero) }

    var fieldValue: String {
        "\(name)=\(value); Path=/; Max-Age=\(lifetime.components.seconds); Secure; HttpOnly; SameSite=Lax"
    }
}

/// The cookies that a request brings (RFC 6265 §4.2.1), read strictly.
enum CookieField {
    enum Found: Equatable {
        case none
        case value(String)
        /// It stands twice or is malformed: who knows which one was meant.
        case unclear
    }

    static func find(_ name: String, in field: String) -> Found {
        var found = Found.none
        for pair in field.split(separator: ";", omittingEmptySubsequences: true) {
            let pair = pair.drop { $0 == " " }
            guard pair.utf8.starts(with: name.utf8), pair.dropFirst(name.count).first == "=" else { continue }
            let value = pair.dropFirst(name.count + 1)
            guard found == .none, value.utf8.allSatisfy(isPlain) else { return .unclear }
            found = .value(String(value))
        }
        return found
    }

    /// A cookie-octet.
    private static func isPlain(_ byte: UInt8) -> Bool {
        (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: ",") && byte != UInt8(ascii: ";")
            && byte != UInt8(ascii: "\\")
    }
}
