import Logging
import Mail

extension Settings {
    /// Where mails are handed over; nil where nobody has said so.
    func mailServer() throws(SettingsError) -> SMTPConfiguration? {
        let port = try self.port("smtp.port")
        guard let encryption = SMTPConfiguration.Encryption(rawValue: text("smtp.tls")) else {
            throw .malformed(
                name: Self.variable("smtp.tls"),
                expected: "one of \(SMTPConfiguration.Encryption.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let host = text("smtp.host")
        if host.isEmpty { return nil }
        guard let sender = Mailbox(text("mail.from")) else {
            throw .malformed(name: Self.variable("mail.from"), expected: "an address, as in KabaBeat <no-reply@example.org>")
        }
        let user = text("smtp.user")
        let authority = text("smtp.ca.file")
        let configuration = SMTPConfiguration(
            host: host, port: port, encryption: encryption,
            credentials: user.isEmpty ? nil : .init(user: user, password: text("smtp.password")), sender: sender,
            trustedCertificates: authority.isEmpty ? nil : authority)
        guard !configuration.exposesCredentials else {
            throw .malformed(
                name: Self.variable("smtp.tls"), expected: "starttls or implicit where there is a user: none would show the password")
        }
        return configuration
    }

    /// What production goes on without, in a sentence; nil where mails are sent.
    var mailWarning: String? {
        guard !isDevelopment, text("smtp.host").isEmpty else { return nil }
        return """
            there is no smtp.host, and this is production: mails wait in the outbox, and until they are sent nobody can prove a new \
            address or reset a password
            """
    }

    /// Who takes mails: the configured server, in development else the log, and otherwise nobody, so that they wait.
    func mailSender(_ logger: Logger) throws -> (any EmailSender)? {
        guard let configuration = try mailServer() else { return isDevelopment ? ConsoleSender(logger) : nil }
        do { return try SMTPSender(configuration) } catch {
            throw SettingsError.malformed(name: Self.variable("smtp.ca.file"), expected: "the path of a PEM file with certificates")
        }
    }
}
