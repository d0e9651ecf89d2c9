import NIOCore

/// A server's reply (RFC 5321 §4.2).
struct SMTPReply: Sendable, Hashable {
    /// 200...599
    let code: Int
    /// What stands after the code, line by line. For reading extensions and challenges; never for a log, since it may repeat addresses.
    let lines: [String]

    var isDone: Bool { (200..<300).contains(code) }
    /// The server wants what comes next: the message after DATA, a part of a sign-in.
    var isContinued: Bool { (300..<400).contains(code) }
    var isPermanent: Bool { code >= 500 }

    /// `550_5.1.1`: the code, and the enhanced one (RFC 3463) where the server gave it.
    var name: String {
        let enhanced = (lines.first ?? "").prefix { $0 != " " }
        let parts = enhanced.split(separator: ".", omittingEmptySubsequences: false)
        let isEnhanced =
            parts.count == 3 && parts.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { (48...57).contains($0) } }
        return isEnhanced ? "\(code)_\(enhanced)" : String(code)
    }
}

/// Why a conversation with a server came to nothing, as a code for logs and dead letters.
struct SMTPFailure: Error, Sendable, Equatable {
    let code: String

    private init(_ code: String) { self.code = "smtp_" + code }

    static let connect = SMTPFailure("connect")
    static let timeout = SMTPFailure("timeout")
    static let closed = SMTPFailure("closed")
    static let tls = SMTPFailure("tls")
    /// What came is no reply, or is longer than any reply is.
    static let malformed = SMTPFailure("malformed")
    /// A reply to nothing: somebody put words into the server's mouth before the connection was encrypted.
    static let unsolicited = SMTPFailure("unsolicited")
    static let noStartTLS = SMTPFailure("no_starttls")
    static let noMechanism = SMTPFailure("no_auth_mechanism")

    /// The server said no.
    static func refused(_ step: Step, _ reply: SMTPReply) -> SMTPFailure { SMTPFailure("\(step.rawValue)_\(reply.name)") }

    enum Step: String { case greeting, hello, starttls, auth, sender, recipient, data }
}

/// Puts replies together from the bytes that arrive. Bounded.
struct SMTPReplyParser {
    /// RFC 5321 asks for 512; servers exceed it.
    static let longestLine = 2048
    static let mostLines = 100

    private var bytes = ByteBuffer()
    private var code: Int?
    private var lines: [String] = []

    /// Whether nothing has arrived that is no part of a reply which was handed out.
    var isEmpty: Bool { bytes.readableBytes == 0 && lines.isEmpty }

    mutating func add(_ more: ByteBuffer) { bytes.writeImmutableBuffer(more) }

    /// The next reply that is complete.
    mutating func next() throws(SMTPFailure) -> SMTPReply? {
        while let end = bytes.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
            let length = end - bytes.readerIndex
            guard length <= Self.longestLine, var line = bytes.readBytes(length: length + 1) else { throw .malformed }
            line.removeLast()
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if let reply = try take(line) {
                bytes.discardReadBytes()
                return reply
            }
        }
        guard bytes.readableBytes <= Self.longestLine else { throw .malformed }
        return nil
    }

    private mutating func take(_ line: [UInt8]) throws(SMTPFailure) -> SMTPReply? {
        guard line.count >= 3, line[..<3].allSatisfy({ (48...57).contains($0) }), lines.count < Self.mostLines else { throw .malformed }
        let code = line[..<3].reduce(0) { 10 * $0 + Int($1) - 48 }
        guard (200...599).contains(code), self.code ?? code == code else { throw .malformed }
        let separator = line.count > 3 ? line[3] : UInt8(ascii: " ")
        guard separator == UInt8(ascii: " ") || separator == UInt8(ascii: "-") else { throw .malformed }
        lines.append(String(decoding: line.dropFirst(4), as: UTF8.self))
        self.code = code
        guard separator == UInt8(ascii: " ") else { return nil }
        defer {
            self.code = nil
            lines = []
        }
        return SMTPReply(code: code, lines: lines)
    }
}
