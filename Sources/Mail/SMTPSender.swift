import Foundation
import NIOCore
import NIOPosix

/// Hands mails to a server by SMTP (RFC 5321), which every mail service takes.
public struct SMTPSender: EmailSender {
    private let configuration: SMTPConfiguration
    private let encryption: SMTPEncryption?
    private let group: any EventLoopGroup

    /// Nothing is connected yet. Throws where the certificates that are to be trusted cannot be read.
    public init(_ configuration: SMTPConfiguration, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton) throws {
        self.configuration = configuration
        self.group = group
        encryption =
            configuration.encryption == .none
            ? nil : try SMTPEncryption(host: configuration.host, trusting: configuration.trustedCertificates)
    }

    public func connect() async throws(EmailError) -> any EmailConnection {
        guard !configuration.exposesCredentials else { throw .unavailable(code: "smtp_credentials_need_tls") }
        let deadline = NIODeadline.now() + TimeAmount(configuration.connectLimit)
        do throws(SMTPFailure) {
            let channel = try await SMTPChannel.connect(
                host: configuration.host, port: configuration.port, tls: configuration.encryption == .implicit ? encryption : nil,
                group: group, deadline: deadline)
            do throws(SMTPFailure) { return try await greet(channel, by: deadline) } catch {
                channel.close()
                throw error
            }
        } catch {
            throw .unavailable(code: error.code)
        }
    }

    private func greet(_ channel: SMTPChannel, by deadline: NIODeadline) async throws(SMTPFailure) -> SMTPConnection {
        let greeting = try await channel.greeting()
        guard greeting.isDone else { throw .refused(.greeting, greeting) }
        var extensions = try await hello(channel, by: deadline)
        if configuration.encryption == .starttls, let encryption {
            // Whoever can strike the offer from the reply could read the mails.
            guard extensions.hasStartTLS else { throw .noStartTLS }
            let reply = try await channel.ask("STARTTLS", by: deadline)
            guard reply.isDone else { throw .refused(.starttls, reply) }
            try await channel.encrypt(encryption)
            // What was said before may have been forged.
            extensions = try await hello(channel, by: deadline)
        }
        if let credentials = configuration.credentials {
            try await credentials.signIn(channel, extensions.mechanisms, by: deadline)
        }
        return SMTPConnection(channel, configuration, takesUTF8: extensions.hasUTF8)
    }

    private func hello(_ channel: SMTPChannel, by deadline: NIODeadline) async throws(SMTPFailure) -> SMTPExtensions {
        let reply = try await channel.ask("EHLO \(channel.ownName)", by: deadline)
        guard reply.isDone else { throw .refused(.hello, reply) }
        return SMTPExtensions(reply)
    }
}

/// What a server's answer to EHLO offers.
struct SMTPExtensions: Sendable, Equatable {
    var hasStartTLS = false
    /// RFC 6531: addresses beyond ASCII.
    var hasUTF8 = false
    var mechanisms: Set<String> = []

    init(_ reply: SMTPReply) {
        for line in reply.lines.dropFirst() {
            let words = line.uppercased().split { $0 == " " || $0 == "=" }
            switch words.first {
            case "STARTTLS": hasStartTLS = true
            case "SMTPUTF8": hasUTF8 = true
            case "AUTH": mechanisms.formUnion(words.dropFirst().map(String.init))
            default: break
            }
        }
    }
}

extension SMTPConfiguration.Credentials {
    /// AUTH (RFC 4954) PLAIN (RFC 4616), or LOGIN, which was never a standard and is all that some servers take.
    func signIn(_ channel: SMTPChannel, _ mechanisms: Set<String>, by deadline: NIODeadline) async throws(SMTPFailure) {
        var reply: SMTPReply
        if mechanisms.contains("PLAIN") {
            reply = try await channel.ask("AUTH PLAIN \(Self.base64("\0\(user)\0\(password)"))", by: deadline)
        } else if mechanisms.contains("LOGIN") {
            reply = try await channel.ask("AUTH LOGIN", by: deadline)
            for secret in [user, password] where reply.isContinued {
                reply = try await channel.ask(Self.base64(secret), by: deadline)
            }
        } else {
            throw .noMechanism
        }
        guard reply.isDone else { throw .refused(.auth, reply) }
    }

    private static func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
}
