import Contract
import HTTPAPI

/// What the settings say of the HTTP edge.
extension Settings {
    func edgeLimits() throws(SettingsError) -> EdgeLimits {
        var limits = EdgeLimits()
        limits.connections = try integer("http.connections", in: 1...1_000_000)
        limits.connectionsPerAddress = try integer("http.connections.address", in: 1...1_000_000)
        limits.requestsInFlight = try integer("http.requests", in: 1...100_000)
        limits.idle = .seconds(try integer("http.idle.seconds", in: 1...3600))
        limits.total = .seconds(try integer("http.total.seconds", in: 1...3600))
        return limits
    }

    func edgeTrust() throws(SettingsError) -> EdgeTrust {
        var trust = EdgeTrust()
        trust.proxies = try addresses("http.proxies")
        trust.watchers = try addresses("metrics.from")
        trust.hosts = words("http.hosts").map { $0.lowercased() }
        trust.origins = words("http.origins")
        for origin in trust.origins {
            let parts = origin.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 3, parts[0] == "https:" || parts[0] == "http:", parts[1].isEmpty, !parts[2].isEmpty,
                origin == origin.lowercased()
            else {
                throw .malformed(
                    name: Self.variable("http.origins"), expected: "origins such as https://app.example.com, with blanks between")
            }
        }
        trust.isSecure = try certificate() != nil
        return trust
    }

    /// Nil where the gateway speaks no TLS.
    func certificate() throws(SettingsError) -> HTTPServer.Certificate? {
        let (chain, key) = (text("tls.certificate"), text("tls.key"))
        guard chain.isEmpty == key.isEmpty else {
            throw .malformed(
                name: Self.variable(chain.isEmpty ? "tls.certificate" : "tls.key"), expected: "set together with the other one")
        }
        return chain.isEmpty ? nil : HTTPServer.Certificate(chainPath: chain, keyPath: key)
    }

    private func addresses(_ key: String) throws(SettingsError) -> [AddressBlock] {
        var blocks: [AddressBlock] = []
        for word in words(key) {
            guard let block = AddressBlock(word) else {
                throw .malformed(name: Self.variable(key), expected: "addresses or ranges such as 10.0.0.0/8, with blanks between")
            }
            blocks.append(block)
        }
        return blocks
    }

    private func words(_ key: String) -> [String] { text(key).split { $0 == " " || $0 == "," }.map(String.init) }
}
