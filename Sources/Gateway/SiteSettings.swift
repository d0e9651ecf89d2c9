import Contract

/// Where people find what runs here.
extension Settings {
    /// What stands in front of every link to the web client; `api.url` where it is set stands in front of the gateway's own addresses.
    /// Throws for what no browser opens, and where mails of a production would lead everybody to their own machine.
    func checkSite() throws(SettingsError) {
        for key in ["site.url", "api.url"] where key == "site.url" || !text(key).isEmpty {
            guard SiteURL(text(key)) != nil else {
                throw .malformed(name: Self.variable(key), expected: "an address such as https://example.org or https://example.org/shop")
            }
        }
        guard !isDevelopment, !text("smtp.host").isEmpty, SiteURL(text("site.url"))?.isLoopback ?? false else { return }
        throw .malformed(
            name: Self.variable("site.url"),
            expected: "where others reach the web client, as in https://example.org: the links in mails lead there, and this is production")
    }
}

/// An absolute `http` or `https` URL to put paths behind: a host, maybe a port and a path, and nothing else (RFC 3986 §3).
struct SiteURL: Equatable {
    private let host: Substring

    init?(_ text: String) {
        guard let scheme = ["https://", "http://"].first(where: text.hasPrefix) else { return nil }
        let rest = text.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" }
        // An IPv6 address stands in brackets, because it has colons.
        let isBracketed = authority.hasPrefix("[")
        let host = isBracketed ? authority.prefix { $0 != "]" }.dropFirst() : authority.prefix { $0 != ":" }
        let port = authority.dropFirst(host.count + (isBracketed ? 2 : 0))
        let isHost = isBracketed ? authority.contains("]") && host.contains(":") && ClientAddress(String(host)) != nil : Self.isName(host)
        guard isHost else { return nil }
        guard port.isEmpty || port.first == ":" && port.dropFirst().allSatisfy(\.isASCIIDigit) && UInt16(port.dropFirst()) ?? 0 > 0 else {
            return nil
        }
        guard rest.utf8.dropFirst(authority.utf8.count).allSatisfy(Self.isOfPath) else { return nil }
        self.host = host
    }

    /// Whether only the machine itself is there.
    var isLoopback: Bool {
        let name = host.lowercased()
        return name == "localhost" || name.hasSuffix(".localhost") || name == "0.0.0.0" || name == "::"
            || ClientAddress(name)?.isLoopback ?? false
    }

    /// Names in ASCII, and IPv4 addresses.
    private static func isName(_ host: Substring) -> Bool {
        !host.isEmpty && host.utf8.count <= 253 && host.utf8.allSatisfy { WebAddress.isAlphanumeric($0) || "-._".utf8.contains($0) }
    }

    private static func isOfPath(_ byte: UInt8) -> Bool { WebAddress.isAlphanumeric(byte) || "-._~/!$&'()*+,;=:@%".utf8.contains(byte) }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
