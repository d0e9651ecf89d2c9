import Contract
import Foundation

/// The name of an account that is made at the first sight of an identity. Its holder can change it.
enum UsernameChoice {
    /// Names in the order of preference: what the issuer calls them, the same with a number, and one that nobody has.
    static func candidates(for identity: ForeignIdentity) -> [String] {
        var names: [String] = []
        // Never from the address: half of it would be public.
        if let name = (identity.username ?? identity.displayName).flatMap(clean) {
            names.append(name)
            for digits in [100...999, 10_000...99_999] { names.append("\(name.prefix(40))-\(Int.random(in: digits))") }
        }
        names.append("listener-\(Int.random(in: 1_000_000_000...9_999_999_999))")
        return names
    }

    /// `text` as `users_username_shape` wants a name; nil where nothing of that kind is left, or it means something else here.
    static func clean(_ text: String) -> String? {
        let folded = text.folding(options: .diacriticInsensitive, locale: nil).split(separator: "@").first.map(String.init) ?? ""
        var name = ""
        for character in folded.unicodeScalars {
            let isKept = character.isASCII && (character.properties.isAlphabetic || ("0"..."9").contains(character))
            if isKept || "._-".unicodeScalars.contains(character) {
                name.unicodeScalars.append(character)
            } else if !name.hasSuffix("-") {
                name += "-"
            }
        }
        let ends = CharacterSet(charactersIn: "._-")
        name = String(name.trimmingCharacters(in: ends).prefix(50)).trimmingCharacters(in: ends)
        return Username.complaint(name) == nil ? name : nil
    }

    /// As `users_display_name_length` wants one, and without what no name may hold; nil where nothing is left to see.
    static func displayName(_ text: String?) -> String? {
        guard let text else { return nil }
        let kept = text.unicodeScalars.filter { scalar in
            let properties = scalar.properties
            return properties.generalCategory != .control && !properties.isBidiControl && !properties.isNoncharacterCodePoint
        }
        let name = String(String(String.UnicodeScalarView(kept)).composed.trimmed.unicodeScalars.prefix(100)).trimmed
        return name.flaw() == nil ? name : nil
    }
}
