import Logging
import Mail
import Testing

@testable import Gateway

@Suite struct MailSettingsTests {
    private let logger = Logger(label: "test")
    private let complete = [
        "KABABEAT_SMTP_HOST": "mail.example.org", "KABABEAT_MAIL_FROM": "KabaBeat <no-reply@example.org>", "KABABEAT_SMTP_USER": "ana",
        "KABABEAT_SMTP_PASSWORD": "secret", "KABABEAT_SITE_URL": "https://example.org",
    ]

    @Test func withoutAServerMailsAreShownInDevelopmentAndWaitInProduction() throws {
        #expect(try Settings(environment: ["KABABEAT_ENVIRONMENT": "development"]).mailSender(logger) is ConsoleSender)
        #expect(try Settings(environment: [:]).mailSender(logger) == nil, "in production")
        for environment in ["development", "production"] {
            let settings = try Settings(environment: complete.merging(["KABABEAT_ENVIRONMENT": environment]) { $1 })
            #expect(try settings.mailSender(logger) is SMTPSender)
        }
    }

    @Test func mailsAreEncryptedUnlessSomebodySaysOtherwise() throws {
        let server = try #require(try Settings(environment: complete).mailServer())
        #expect(server.encryption == .starttls && server.port == 587 && server.host == "mail.example.org")
    }

    @Test(arguments: [
        ("MAIL_FROM", ""), ("MAIL_FROM", "KabaBeat"), ("MAIL_FROM", "a@b, c@d"), ("SMTP_PORT", "0"), ("SMTP_TLS", "yes"),
        ("SMTP_TLS", "none"),
    ])
    func whatCannotBeSentByKeepsTheGatewayFromStarting(name: String, value: String) {
        #expect(throws: SettingsError.self) { try Settings(environment: complete.merging(["KABABEAT_\(name)": value]) { $1 }) }
    }

    @Test func withoutEncryptionAPasswordLeavesForLoopbackAlone() throws {
        let open = complete.merging(["KABABEAT_SMTP_TLS": "none"]) { $1 }
        #expect(throws: SettingsError.self) { try Settings(environment: open) }
        _ = try Settings(environment: open.merging(["KABABEAT_SMTP_HOST": "127.0.0.1"]) { $1 })
        _ = try Settings(environment: open.merging(["KABABEAT_SMTP_USER": ""]) { $1 })
    }

    @Test func theListingShowsNoPassword() throws {
        let listing = try Settings(environment: complete).listing.map { "\($0.setting.key)=\($0.value)" }
        #expect(listing.contains("smtp.password=<redacted>"))
        #expect(!listing.contains { $0.hasSuffix("=secret") })
    }

    @Test func certificatesThatCannotBeReadAreToldOfAtTheStart() throws {
        let settings = try Settings(environment: complete.merging(["KABABEAT_SMTP_CA_FILE": "/nowhere/ca.pem"]) { $1 })
        #expect(throws: SettingsError.self) { try settings.mailSender(logger) }
    }
}
