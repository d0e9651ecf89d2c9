import Contract

extension PresentedCredential {
    /// Bytes that a token or a cookie may have.
    static let longest = 8192

    /// What signs a request: `Authorization: Bearer`, or else the session's cookie. Throws `unauthenticated` where there is something that is
    /// neither, so that nobody is taken for anonymous who meant to be somebody.
    static func read(_ fields: RequestFields) throws(Problem) -> PresentedCredential? {
        if let authorization = fields.authorization {
            guard let token = bearer(authorization) else { throw .unauthenticated }
            return PresentedCredential(transport: .bearer, secret: token)
        }
        guard let cookie = fields.cookie else { return nil }
        switch CookieField.find(SessionCookie.access, in: cookie) {
        case .none: return nil
        case .unclear: throw .unauthenticated
        case .value(let token):
            guard !token.isEmpty, token.utf8.count <= longest else { throw .unauthenticated }
            return PresentedCredential(transport: .cookie, secret: token)
        }
    }

    /// Whether cookies of ours came along that sign for something: then it matters which site a request comes from.
    static func isCookieSigned(_ fields: RequestFields) -> Bool {
        guard fields.authorization == nil, let cookie = fields.cookie else { return false }
        return CookieField.find(SessionCookie.access, in: cookie) != .none || CookieField.find(SessionCookie.refresh, in: cookie) != .none
    }

    /// The token68 of `Bearer` (RFC 6750 §2.1), whose name is in any case.
    private static func bearer(_ field: String) -> String? {
        let parts = field.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        let token = parts[1].drop { $0 == " " }
        guard !token.isEmpty, token.utf8.count <= longest else { return nil }
        let body = token.utf8.prefix { $0 != UInt8(ascii: "=") }
        guard !body.isEmpty, body.allSatisfy(isToken68), token.utf8[body.endIndex...].allSatisfy({ $0 == UInt8(ascii: "=") }) else {
            return nil
        }
        return String(token)
    }

    private static func isToken68(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "+"), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}
