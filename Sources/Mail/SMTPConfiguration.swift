/// Where mails are handed over, and how long that may take.
public struct SMTPConfiguration: Sendable {
    /// How the connection to the server is encrypted.
    public enum Encryption: String, Sendable, CaseIterable {
        /// From the first byte; the usual port is 465 (RFC 8314).
        case implicit
        /// After STARTTLS, without which nothing is sent; the usual port is 587.
        case starttls
        /// None. Credentials then leave only for loopback.
        case none
    }

    /// What the gateway signs in with. Has no description, so that no log can hold it.
    public struct Credentials: Sendable, CustomStringConvertible, CustomReflectable {
        let user: String
        let password: String

        public init(user: String, password: String) {
            self.user = user
            self.password = password
        }

        public var description: String { "credentials" }
        public var customMirror: Mirror { Mirror(self, children: []) }
    }

    public var host: String
    public var port: Int
    public var encryption: Encryption
    public var credentials: Credentials?
    public var sender: Mailbox
    /// A PEM file with the certificates to trust in place of the system's.
    public var trustedCertificates: String?

    /// For connecting, encrypting and signing in together.
    var connectLimit = Duration.seconds(20)
    /// For one reply, and for one message with all its replies. Servers may take their time over a message's content.
    var replyLimit = Duration.seconds(20)
    var messageLimit = Duration.seconds(40)

    public init(
        host: String, port: Int, encryption: Encryption, credentials: Credentials?, sender: Mailbox, trustedCertificates: String? = nil
    ) {
        self.host = host
        self.port = port
        self.encryption = encryption
        self.credentials = credentials
        self.sender = sender
        self.trustedCertificates = trustedCertificates
    }

    /// Whether a password could be overheard on its way.
    public var exposesCredentials: Bool { credentials != nil && encryption == .none && !Self.isLoopback(host) }

    static func isLoopback(_ host: String) -> Bool {
        if ["localhost", "::1"].contains(host) { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
