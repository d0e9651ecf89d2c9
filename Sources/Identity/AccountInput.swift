import Contract
import HTTPAPI
import Mail

/// What somebody registers with.
struct Registration: Sendable {
    let email: EmailAddress
    let username: String
    let displayName: String?
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
            let value: Change<String> = change(name) { input in
                let text = input.text(name, 1...20)
                if let text, !choices.contains(text) { input.complain(name, "must be one of: \(choices.joined(separator: ", "))") }
                return text
            }
            patch.set(name, value)
        }
        for name in ProfileMembers.tastes where has(name) {
            if isNull(name) {
                patch.clear(name)
            } else if let values = visibleTexts(name, count: 0...50, longest: 50) {
                patch.set(name, values)
            }
        }
        if has("language") {
            let value: Change<String> = change("language") { input in
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
            let value: Change<String> = change("currency") { input in
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

extension EmailAddress {
    /// No mail that a stranger asks for goes to a host of the network that the gateway is in.
    fileprivate var hasTopLevelDomain: Bool {
        description.split(separator: "@").last.map { $0.contains(".") } ?? false
    }
}
