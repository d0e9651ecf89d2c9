/// An address that can stand in a command of SMTP and in a header without changing the meaning of either: `local@domain` of RFC 5321,
/// without quoted locals and address literals, beyond ASCII as RFC 6531 has it. Letters that turn into ASCII in lower case, such as the
/// Kelvin sign, are refused: Postgres and this process would not agree on whose address it is.
public struct EmailAddress: Sendable, Hashable, CustomStringConvertible {
    public let description: String

    /// Nil for what is no such address.
    public init?(_ text: String) {
        guard text.utf8.count <= 254, let at = text.lastIndex(of: "@") else { return nil }
        let (local, domain) = (text[..<at], text[text.index(after: at)...])
        guard (1...64).contains(local.utf8.count), local.unicodeScalars.allSatisfy(Self.isLocal), !Self.hasEmptyPart(local) else {
            return nil
        }
        guard !domain.isEmpty, domain.unicodeScalars.allSatisfy(Self.isDomain), !Self.hasEmptyPart(domain) else { return nil }
        description = text
    }

    /// Whether a server needs SMTPUTF8 (RFC 6531) to take it.
    var isASCII: Bool { description.utf8.allSatisfy { $0 < 0x80 } }

    private static func hasEmptyPart(_ text: Substring) -> Bool {
        text.split(separator: ".", omittingEmptySubsequences: false).contains { $0.isEmpty }
    }

    private static func isLocal(_ scalar: Unicode.Scalar) -> Bool {
        isDomain(scalar) || "!#$%&'*+/=?^_`{|}~".unicodeScalars.contains(scalar)
    }

    private static func isDomain(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "-" || scalar == "." }
        return switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: false
        default: !scalar.properties.lowercaseMapping.unicodeScalars.contains { $0.isASCII }
        }
    }
}

/// Who a mail comes from: an address, and a name for people if there is one.
public struct Mailbox: Sendable, Hashable {
    let name: String
    let address: EmailAddress

    /// Reads `no-reply@example.org` and `KabaBeat <no-reply@example.org>`.
    public init?(_ text: String) {
        guard text.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else { return nil }
        var (name, address) = (Substring(), Substring(text))
        if text.hasSuffix(">"), let open = text.lastIndex(of: "<") {
            (name, address) = (text[..<open], text[text.index(after: open)...].dropLast())
        }
        guard let address = EmailAddress(String(address)) else { return nil }
        self.name = String(name.drop { $0 == " " || $0 == "\"" }.reversed().drop { $0 == " " || $0 == "\"" }.reversed())
        self.address = address
    }

    var domain: Substring { address.description[(address.description.lastIndex(of: "@") ?? address.description.startIndex)...].dropFirst() }
}
