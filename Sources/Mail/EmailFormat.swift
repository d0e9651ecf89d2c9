import Contract
import Foundation

/// A message as it goes over the wire (RFC 5322, with MIME). Pure.
enum EmailFormat {
    /// Header, empty line and body; every line ends in CRLF, holds at most 998 bytes, and is ASCII but for addresses that are not.
    /// Nil where the subject could end its line.
    static func bytes(_ message: EmailMessage, to recipient: EmailAddress, from sender: Mailbox) -> [UInt8]? {
        guard isOneLine(message.subject) else { return nil }
        let lines = lines(of: message.text)
        let isPlain = lines.allSatisfy { $0.utf8.count <= 998 && $0.utf8.allSatisfy { $0 < 0x80 && $0 != 0 } }
        let from = sender.name.isEmpty ? sender.address.description : "\(phrase(sender.name)) <\(sender.address)>"
        let header = [
            "Date: \(date(message.writtenAt))",
            "From: \(from)",
            "To: \(recipient)",
            "Subject: \(text(message.subject, after: 9))",
            "Message-ID: <\(message.id)@\(sender.domain)>",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: \(isPlain ? "7bit" : "quoted-printable")",
            // RFC 3834: no holiday notice answers this.
            "Auto-Submitted: auto-generated",
            "",
        ]
        let body = isPlain ? lines.map(String.init) : lines.flatMap(quotedPrintable)
        return Array((header + body).map { $0 + "\r\n" }.joined().utf8)
    }

    /// What follows DATA: a line that begins with a dot gets another (RFC 5321 §4.5.2), and a dot by itself ends it.
    static func data(_ message: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(message.count + 8)
        var isLineStart = true
        for byte in message {
            if isLineStart, byte == UInt8(ascii: ".") { bytes.append(byte) }
            bytes.append(byte)
            isLineStart = byte == UInt8(ascii: "\n")
        }
        return bytes + Array(".\r\n".utf8)
    }

    /// `Sat, 21 Nov 2026 14:52:47 +0000` (RFC 5322 §3.3)
    static func date(_ time: Timestamp) -> String {
        let text = time.description
        func part(_ offset: Int, _ count: Int) -> Substring { text.dropFirst(offset).prefix(count) }
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let day = (Double(time.milliseconds) / 86_400_000).rounded(.down)
        let weekday = weekdays[Int(day - 7 * (day / 7).rounded(.down))]
        let month = months[(Int(part(5, 2)) ?? 1) - 1]
        return "\(weekday), \(part(8, 2)) \(month) \(part(0, 4)) \(part(11, 8)) +0000"
    }

    // MARK: Headers

    private static func isOneLine(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: false
            default: true
            }
        }
    }

    /// As it stands where it is ASCII that fits on its line after `indent` characters; else in encoded words.
    static func text(_ text: String, after indent: Int) -> String {
        let isPlain = text.utf8.allSatisfy { (0x20..<0x7F).contains($0) } && text.utf8.count + indent <= 78 && !text.contains("=?")
        return isPlain ? text : encodedWords(text)
    }

    /// A name before an address: quoted (RFC 5322 §3.2.4), or in encoded words.
    private static func phrase(_ name: String) -> String {
        let isQuotable = name.utf8.allSatisfy { (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
        return isQuotable && name.utf8.count <= 60 ? "\"\(name)\"" : encodedWords(name)
    }

    /// RFC 2047, each word on a line of its own and whole characters in each: 45 bytes are 60 characters of Base64, 72 with what
    /// encloses them.
    private static func encodedWords(_ text: String) -> String {
        var words: [[UInt8]] = [[]]
        for scalar in text.unicodeScalars {
            let bytes = Array(UTF8.encode(scalar).map(Array.init) ?? [])
            if words[words.count - 1].count + bytes.count > 45 { words.append([]) }
            words[words.count - 1] += bytes
        }
        return words.map { "=?utf-8?B?\(Data($0).base64EncodedString())?=" }.joined(separator: "\r\n ")
    }

    // MARK: Body

    /// Lines of a text, whichever way they end, a bare CR included: nothing but our own CRLF ends a line on the wire.
    private static func lines(of text: String) -> [Substring] {
        var lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    /// One line as lines of at most 76 characters (RFC 2045 §6.7).
    private static func quotedPrintable(_ line: Substring) -> [String] {
        var lines: [String] = []
        var current = ""
        let bytes = Array(line.utf8)
        for (index, byte) in bytes.enumerated() {
            let isLast = index == bytes.count - 1
            let isLiteral = (0x21..<0x7F).contains(byte) && byte != UInt8(ascii: "=") || (byte == 0x20 || byte == 0x09) && !isLast
            let piece = isLiteral ? String(UnicodeScalar(byte)) : "=" + hex(byte)
            if current.utf8.count + piece.utf8.count > 75 {
                lines.append(current + "=")
                current = ""
            }
            current += piece
        }
        return lines + [current]
    }

    private static func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return digits.utf8.count == 1 ? "0" + digits : digits
    }
}
