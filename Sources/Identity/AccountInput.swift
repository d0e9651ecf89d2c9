import Contract
import HTTPAPI
import Mail

/// What somebody registers with.
struct Registration: Sendable {
    let email: EmailAddress
    let username: String
    let displayName: String?
}

/// A member of a change: absent, `null`, or a new value.
enum Change<Value: Sendable & Equatable>: Sendable, Equatable {
    case keep, clear
    case set(Value)

    var value: Value? { if case .set(let value) = self { value } else { nil } }
}

/// What a profile change changes; what it does not name stays.
struct ProfileChange: Sendable {
    var displayName = Change<String>.keep
    var bio = Change<String>.keep
    var avatarURL = Change<String>.keep
    /// Members to merge into what is there, as JSON objects; `null` takes one away. Nil where nothing changes.
    var socialLinks: String?
    var preferences: String?
}

extension BodyInput {
    /// An e-mail address, without the spaces around it that come with pasting; otherwise as it was written, since some servers tell
    /// capitals apart. Accounts are told apart without regard to them.
    mutating func email(_ name: String) -> EmailAddress? {
        let text = requiredText(name, 3...254)
        guard !text.isEmpty else { return nil }
        guard let address = EmailAddress(text.trimmed), address.hasTopLevelDomain else {
            complain(name, "must be an e-mail address")
            return nil
        }
        return address
    }

    mutating func username(_ name: String) -> String? {
        let text = requiredText(name, 1...50)
        guard !text.isEmpty else { return nil }
        if let complaint = Username.complaint(text) {
            complain(name, complaint)
            return nil
        }
        return text
    }

    /// A member that may be kept, cleared or set.
    fileprivate mutating func change(_ name: String, _ read: (inout BodyInput) -> String?) -> Change<String> {
        if !has(name) { return .keep }
        if isNull(name) { return .clear }
        return read(&self).map { .set($0) } ?? .keep
    }

    /// A text that is more than spaces.
    fileprivate mutating func visibleText(_ name: String, longest: Int, lines: Bool = false) -> String? {
        guard let text = text(name, 1...longest, lines: lines) else { return nil }
        let trimmed = text.trimmed
        if trimmed.isEmpty { complain(name, "must not be blank") }
        return trimmed.isEmpty ? nil : trimmed
    }

    /// The address of a page or picture that any browser may be sent to.
    fileprivate mutating func webAddress(_ name: String, longest: Int) -> String? {
        guard let text = text(name, 1...longest) else { return nil }
        if !WebAddress.isPublic(text) {
            complain(name, "must be an https address such as https://example.org/picture.jpg")
            return nil
        }
        return text
    }

    /// `displayName`, as it is given at registration.
    mutating func displayName(_ name: String) -> String? { visibleText(name, longest: 100) }

    /// The members of a profile change.
    mutating func profileChange() -> ProfileChange {
        var profile = ProfileChange()
        profile.displayName = change("displayName") { $0.visibleText("displayName", longest: 100) }
        profile.bio = change("bio") { $0.visibleText("bio", longest: 5000, lines: true) }
        profile.avatarURL = change("avatarUrl") { $0.webAddress("avatarUrl", longest: 2048) }
        if var links = object("socialLinks", allowed: ProfileMembers.socialLinks) {
            var patch = JSONPatch()
            for name in ProfileMembers.socialLinks where links.has(name) {
                patch.set(name, links.change(name) { $0.webAddress(name, longest: 300) })
            }
            absorb(links)
            profile.socialLinks = patch.json
        }
        if var preferences = object("preferences", allowed: ProfileMembers.preferences) {
            profile.preferences = preferences.preferencesPatch()
            absorb(preferences)
        }
        return profile
    }

    private mutating func preferencesPatch() -> String? {
        var patch = JSONPatch()
        for name in ProfileMembers.switches where has(name) {
            if isNull(name) { patch.clear(name) } else if let value = bool(name) { patch.set(name, value) }
        }
        for (name, choices) in ProfileMembers.choices where has(name) {
            let value = change(name) { input in
                let text = input.text(name, 1...20)
                if let text, !choices.contains(text) { input.complain(name, "must be one of: \(choices.joined(separator: ", "))") }
                return text
            }
            patch.set(name, value)
        }
        for name in ProfileMembers.tastes where has(name) {
            if isNull(name) {
                patch.clear(name)
            } else if let values = texts(name, count: 0...50, characters: 1...50) {
                patch.set(name, values)
            }
        }
        if has("language") {
            let value = change("language") { input in
                let text = input.text("language", 2...35)
                // RFC 5646 in its shape; which tags there are is for clients to know.
                if let text, !text.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || WebAddress.isAlphanumeric($0) }) {
                    input.complain("language", "must be a language tag such as en or pt-BR")
                }
                return text
            }
            patch.set("language", value)
        }
        if has("currency") {
            let value = change("currency") { input in
                let text = input.text("currency", 3...3)
                if let text, Currency(code: text) == nil { input.complain("currency", "must be the code of a currency that is sold in") }
                return text
            }
            patch.set("currency", value)
        }
        return patch.json
    }
}

/// Members that `socialLinks` and `preferences` may have.
enum ProfileMembers {
    static let socialLinks = [
        "website", "bandcamp", "discord", "facebook", "instagram", "soundcloud", "spotify", "tiktok", "twitch", "x", "youtube",
    ]
    static let switches = ["autoplay", "emailNotifications", "explicitContent"]
    static let choices = [("theme", ["light", "dark", "system"]), ("audioQuality", ["low", "normal", "high"])]
    static let tastes = ["genres", "moods"]
    static let preferences = ["language", "currency"] + switches + choices.map(\.0) + tastes
}

/// Addresses that are given out to every viewer's browser.
enum WebAddress {
    /// Whether it is an absolute `https` URL (RFC 3986) of a named host: no credentials, no bare address, nothing that needs escaping in
    /// HTML or a header.
    static func isPublic(_ text: String) -> Bool {
        guard text.hasPrefix("https://") else { return false }
        let rest = text.dropFirst("https://".count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard let host = parts.first, parts.count <= 2, isHostName(host) else { return false }
        if parts.count == 2 { guard let port = UInt16(parts[1]), port > 0 else { return false } }
        return rest.utf8.allSatisfy { byte in
            isAlphanumeric(byte) || "-._~:/?#[]@!$&'()*+,;=%".utf8.contains(byte)
        }
    }

    private static func isHostName(_ host: Substring) -> Bool {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isNamed = labels.last?.utf8.contains { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
        return host.utf8.count <= 253 && labels.count >= 2 && isNamed
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
            }
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }
}

extension EmailAddress {
    /// No mail that a stranger asks for goes to a host of the network that the gateway is in.
    fileprivate var hasTopLevelDomain: Bool {
        description.split(separator: "@").last.map { $0.contains(".") } ?? false
    }
}

extension String {
    /// Without the white space around it.
    var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
