import Contract
import HTTPTypes

/// What the edge believes of what a request says about itself.
public struct EdgeTrust: Sendable {
    /// Proxies whose `X-Forwarded-For` is believed.
    public var proxies: [AddressBlock] = []
    /// Names that `Host` may have, in lower case: `example.com` at any port, `example.com:8443` at that one. None: any.
    public var hosts: [String] = []
    /// Other sites whose pages may call the API and be signed by cookies, as browsers write them: `https://app.example.com`.
    public var origins: [String] = []
    /// Who may read the metrics.
    public var watchers: [AddressBlock] = []
    /// Whether the gateway itself speaks TLS.
    public var isSecure = false

    public init() {}

    /// The client behind a connection: its peer, or whom the proxies among `forwarded` name. They append, so the entries are believed
    /// from the right for as long as proxies have written them; what a client has put there itself is never reached.
    func client(of peer: ClientAddress, forwarded: String?) -> ClientAddress {
        guard let forwarded, isProxy(peer) else { return peer }
        var client = peer
        for entry in forwarded.split(separator: ",", omittingEmptySubsequences: false).reversed() {
            guard let address = Self.address(entry) else { return client }
            client = address
            if !isProxy(address) { return client }
        }
        return client
    }

    /// Whether whoever calls may read the metrics. What comes through a proxy that is not believed could be anybody, however near the proxy.
    public func isWatcher(_ call: Call) -> Bool {
        guard call.fields[HTTPField.Name.xForwardedFor] == nil || !proxies.isEmpty else { return false }
        return watchers.contains { $0.contains(call.address) }
    }

    func isProxy(_ address: ClientAddress) -> Bool { proxies.contains { $0.contains(address) } }

    /// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
    private static func address(_ entry: Substring) -> ClientAddress? {
        var text = entry.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        if text.hasPrefix("[") { return ClientAddress(String(text.dropFirst().prefix { $0 != "]" })) }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        return ClientAddress(String(parts.count == 2 ? parts[0] : text))
    }

    /// Whether the gateway goes by the name that a request calls it.
    func isKnown(host: String) -> Bool {
        guard !hosts.isEmpty else { return true }
        let host = host.lowercased()
        if hosts.contains(host) { return true }
        guard let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") else { return false }
        return hosts.contains(String(host[..<colon]))
    }

    func isKnown(origin: String?) -> Bool { origin.map { origins.contains($0) } ?? false }

    /// Whether a request that changes something was made by a page of the gateway's own site, or of one in `origins`.
    ///
    /// Browsers say so in Sec-Fetch-Site, and older ones in Origin; whoever says neither is no browser, and is believed only as long as no
    /// cookie signs for it. The rules are those of Go's CrossOriginProtection (https://pkg.go.dev/net/http#CrossOriginProtection).
    func isSameSite(_ fields: RequestFields, host: String) -> Bool {
        if isKnown(origin: fields.origin) { return true }
        if let site = fields.fetchSite { return site == "same-origin" || site == "none" }
        guard let origin = fields.origin else { return fields.cookie == nil }
        guard let scheme = origin.firstRange(of: "://") else { return false }
        return origin[scheme.upperBound...].lowercased() == host.lowercased()
    }
}
