import NIOCore
import Testing

@testable import Gateway

@Suite struct SiteSettingsTests {
    private static func settings(_ values: [String: String]) throws -> Settings {
        try Settings(environment: Dictionary(uniqueKeysWithValues: values.map { ("KABABEAT_\($0.key)", $0.value) }))
    }

    @Test(arguments: [
        "https://example.org", "http://127.0.0.1:8080", "https://example.org/shop/", "http://[::1]:3000",
        "https://my-shop.example.org:8443/a_b",
    ])
    func aSiteIsWhatABrowserOpens(_ url: String) throws {
        _ = try Self.settings(["SITE_URL": url, "API_URL": url])
    }

    @Test(arguments: [
        "javascript:x", "", "example.org", "ftp://example.org", "https://", "https:///path", "http://user:password@example.org",
        "https://example.org?a=b", "https://example.org/#top", "https://exa mple.org", "https://example.org\nX", "https://example.org:0",
        "https://example.org:65536", "https://example.org:", "https://[example]", "https://[::1", "https://[::1]x", "https://\"example.org",
        "HTTPS//example.org",
    ])
    func whatNoBrowserOpensKeepsTheGatewayFromStarting(_ url: String) {
        #expect(throws: SettingsError.self) { try Self.settings(["SITE_URL": url]) }
        guard !url.isEmpty else { return }
        #expect(throws: SettingsError.self) { try Self.settings(["API_URL": url]) }
    }

    @Test(arguments: [
        "http://127.0.0.1:8080", "http://localhost", "https://shop.localhost:8443", "http://[::1]:8080", "http://127.8.9.1",
        "http://0.0.0.0:80",
    ])
    func mailsOfAProductionLeadNobodyToHisOwnMachine(_ url: String) throws {
        let mail = ["SMTP_HOST": "mail.example.org", "MAIL_FROM": "no-reply@example.org", "SITE_URL": url]
        #expect(throws: SettingsError.self) { try Self.settings(mail) }
        _ = try Self.settings(mail.merging(["ENVIRONMENT": "development"]) { $1 })
        _ = try Self.settings(mail.merging(["SITE_URL": "https://example.org"]) { $1 })
        _ = try Self.settings(["SITE_URL": url])
    }

    @Test func aProductionThatSendsNoMailSaysSo() throws {
        #expect(try Self.settings([:]).mailWarning?.contains("smtp.host") == true)
        #expect(try Self.settings(["ENVIRONMENT": "development"]).mailWarning == nil)
    }

    @Test(arguments: [
        ("127.0.0.1", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080"), ("0.0.0.0", "http://127.0.0.1:8080, at every address"),
        ("::", "http://[::1]:8080, at every address"),
    ])
    func theLogSaysWhereABrowserFindsTheGateway(_ host: String, _ url: String) throws {
        #expect(GatewayService.url(of: try SocketAddress(ipAddress: host, port: 8080), scheme: "http") == url)
    }
}
