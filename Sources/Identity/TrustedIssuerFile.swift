import Contract
import Foundation
import JSON

/// Who vouches for people, by configuration: the file that `identity.issuers.file` names. `docs/identity.md` describes its members; one
/// that is not known there is an error, as is one that could not work.
public struct TrustedIssuerFile: Sendable {
    public let issuers: [TrustedIssuer]
    public let providers: [OpenIDProvider]

    /// What is wrong with the file, in words for whoever wrote it. Holds no secret.
    public struct Flaw: Error, Sendable, Equatable, CustomStringConvertible {
        public let description: String
    }

    /// Nobody.
    public static let empty = TrustedIssuerFile(issuers: [], providers: [])

    private init(issuers: [TrustedIssuer], providers: [OpenIDProvider]) {
        self.issuers = issuers
        self.providers = providers
    }

    public init(path: String) throws(Flaw) {
        guard let bytes = FileManager.default.contents(atPath: path) else { throw Flaw(description: "\(path) cannot be read") }
        do throws(Flaw) { try self.init(Array(bytes)) } catch { throw Flaw(description: "\(path): \(error)") }
    }

    public init(_ bytes: [UInt8]) throws(Flaw) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(bytes) } catch { throw Flaw(description: String(describing: error)) }
        let file = try IssuerEntry(value, at: "the file", allowed: ["issuers", "providers"])
        issuers = try file.entries("issuers") { entry throws(Flaw) in try TrustedIssuer(entry) }
        providers = try file.entries("providers") { entry throws(Flaw) in try OpenIDProvider(entry) }
        // One name has one meaning: two audiences of an issuer are one entry.
        try Self.checkUnique(issuers.map(\.issuer), "issuers", "issuer")
        try Self.checkUnique(providers.map(\.name), "providers", "name")
        try Self.checkUnique(providers.map(\.issuer.text), "providers", "issuer")
    }

    private static func checkUnique(_ names: [String], _ list: String, _ member: String) throws(Flaw) {
        let twice = Dictionary(grouping: names) { $0 }.first { $1.count > 1 }
        if let twice { throw Flaw(description: "\(list) has the \(member) \(twice.key) twice") }
    }
}

extension TrustedIssuer {
    fileprivate init(_ entry: IssuerEntry) throws(TrustedIssuerFile.Flaw) {
        try entry.check(["issuer", "audience", "jwks", "secret", "algorithms", "type", "claims"])
        issuer = try entry.required("issuer")
        let audiences = Set(try entry.texts("audience"))
        guard !audiences.isEmpty else { throw entry.flaw("audience", "is missing: without it, tokens for others would count here") }
        self.audiences = audiences
        type = try entry.text("type")
        claims = try entry.claims(IdentityClaims())
        switch (try entry.address("jwks"), try entry.text("secret")) {
        case (let url?, nil):
            source = .published(url)
            algorithms = try entry.algorithms([.es256, .rs256], shared: false)
        case (nil, let secret?):
            guard secret.utf8.count >= 32 else { throw entry.flaw("secret", "must have at least 32 bytes") }
            source = .shared(Array(secret.utf8))
            algorithms = try entry.algorithms([.hs256], shared: true)
        default: throw entry.flaw("jwks", "or secret must be there, and only one of them")
        }
    }
}

extension OpenIDProvider {
    fileprivate init(_ entry: IssuerEntry) throws(TrustedIssuerFile.Flaw) {
        try entry.check([
            "preset", "name", "label", "issuer", "clientId", "clientSecret", "scopes", "algorithms", "claims", "endpoints",
        ])
        var preset: Preset?
        if let name = try entry.text("preset") {
            preset = Preset(rawValue: name)
            if preset == nil { throw entry.flaw("preset", "must be one of: \(Preset.allCases.map(\.rawValue).joined(separator: ", "))") }
        }
        let name = try entry.text("name") ?? preset?.rawValue ?? ""
        guard (1...30).contains(name.utf8.count), name.first?.isLetter == true,
            name.utf8.allSatisfy({ "abcdefghijklmnopqrstuvwxyz0123456789-".utf8.contains($0) })
        else { throw entry.flaw("name", "must be 1 to 30 lower-case letters, digits and hyphens, and begin with a letter") }
        self.name = name
        label = try entry.text("label") ?? preset?.label ?? name
        guard let issuer = try entry.address("issuer") ?? preset.flatMap({ IssuerURL($0.issuer) }) else {
            throw entry.flaw("issuer", "is missing")
        }
        self.issuer = issuer
        clientID = try entry.required("clientId")
        clientSecret = try entry.text("clientSecret")
        let scopes = try entry.texts("scopes")
        if !scopes.isEmpty, !scopes.contains("openid") { throw entry.flaw("scopes", "must have openid among them") }
        self.scopes = scopes.isEmpty ? ["openid", "email", "profile"] : scopes
        algorithms = try entry.algorithms([.es256, .rs256], shared: false)
        var claims = IdentityClaims()
        if let preset { claims.emailVerified = preset.emailVerified }
        self.claims = try entry.claims(claims)
        endpoints = try entry.endpoints() ?? preset?.endpoints
    }
}

/// One object of the file, and where it stands in it.
private struct IssuerEntry {
    private let members: [String: JSONValue]
    private let place: String

    init(_ value: JSONValue, at place: String, allowed: [String]? = nil) throws(TrustedIssuerFile.Flaw) {
        guard case .object(let members) = value else { throw TrustedIssuerFile.Flaw(description: "\(place) must be an object") }
        self.members = members
        self.place = place
        if let allowed { try check(allowed) }
    }

    func flaw(_ name: String, _ what: String) -> TrustedIssuerFile.Flaw {
        TrustedIssuerFile.Flaw(description: "\(place): \(name) \(what)")
    }

    func check(_ allowed: [String]) throws(TrustedIssuerFile.Flaw) {
        for name in members.keys.sorted() where !allowed.contains(name) {
            throw flaw(name, "is not known; there are: \(allowed.joined(separator: ", "))")
        }
    }

    func text(_ name: String) throws(TrustedIssuerFile.Flaw) -> String? {
        guard let value = members[name] else { return nil }
        guard case .text(let text) = value, !text.isEmpty, text.utf8.count <= 2048 else {
            throw flaw(name, "must be a text of at most 2048 bytes")
        }
        return text
    }

    func required(_ name: String) throws(TrustedIssuerFile.Flaw) -> String {
        guard let text = try text(name) else { throw flaw(name, "is missing") }
        guard text.unicodeScalars.count <= 255 else { throw flaw(name, "must have at most 255 characters") }
        return text
    }

    /// One text or a list of them; none where there is no such member.
    func texts(_ name: String) throws(TrustedIssuerFile.Flaw) -> [String] {
        guard let value = members[name] else { return [] }
        guard case .array(let values) = value else { return [try required(name)] }
        var texts: [String] = []
        for value in values {
            guard case .text(let text) = value, !text.isEmpty else { throw flaw(name, "must be a text, or a list of texts") }
            texts.append(text)
        }
        return texts
    }

    func address(_ name: String) throws(TrustedIssuerFile.Flaw) -> IssuerURL? {
        guard let text = try text(name) else { return nil }
        guard let url = IssuerURL(text) else { throw flaw(name, "must be an https address, or an http address on loopback") }
        return url
    }

    /// A shared key is for HS256 and a published one is not: whoever took a public key for a shared one would take anybody's tokens.
    func algorithms(_ usual: Set<SigningAlgorithm>, shared: Bool) throws(TrustedIssuerFile.Flaw) -> Set<SigningAlgorithm> {
        let fitting = SigningAlgorithm.allCases.filter { $0.isShared == shared }
        var algorithms: Set<SigningAlgorithm> = []
        for name in try texts("algorithms") {
            guard let algorithm = fitting.first(where: { $0.rawValue == name }) else {
                throw flaw("algorithms", "can only have: \(fitting.map(\.rawValue).joined(separator: ", "))")
            }
            algorithms.insert(algorithm)
        }
        return algorithms.isEmpty ? usual : algorithms
    }

    func claims(_ usual: IdentityClaims) throws(TrustedIssuerFile.Flaw) -> IdentityClaims {
        guard let value = members["claims"] else { return usual }
        let entry = try IssuerEntry(
            value, at: "\(place): claims", allowed: ["subject", "email", "emailVerified", "username", "displayName"])
        var claims = usual
        if let name = try entry.text("subject") { claims.subject = name }
        if let name = try entry.text("email") { claims.email = name }
        if let name = try entry.text("username") { claims.username = name }
        if let name = try entry.text("displayName") { claims.displayName = name }
        switch entry.members["emailVerified"] {
        case nil: break
        case .bool(let isVerified): claims.emailVerified = isVerified ? .always : .never
        case .text(let name) where !name.isEmpty: claims.emailVerified = .claim(name)
        default: throw entry.flaw("emailVerified", "must be true, false, or the name of a claim")
        }
        return claims
    }

    func endpoints() throws(TrustedIssuerFile.Flaw) -> OpenIDProvider.Endpoints? {
        guard let value = members["endpoints"] else { return nil }
        let entry = try IssuerEntry(
            value, at: "\(place): endpoints", allowed: ["authorization", "token", "jwks", "userinfo", "authentication"])
        guard let authorization = try entry.address("authorization"), let token = try entry.address("token"),
            let keys = try entry.address("jwks")
        else { throw entry.flaw("authorization", "token and jwks must be there, all three") }
        let method = try entry.text("authentication") ?? OpenIDProvider.Authentication.basic.rawValue
        guard let authentication = OpenIDProvider.Authentication(rawValue: method) else {
            throw entry.flaw("authentication", "must be basic or post")
        }
        return OpenIDProvider.Endpoints(
            authorization: authorization, token: token, keys: keys, userInfo: try entry.address("userinfo"),
            authentication: authentication, namesItself: false)
    }

    func entries<Made>(
        _ name: String, _ make: (IssuerEntry) throws(TrustedIssuerFile.Flaw) -> Made
    ) throws(TrustedIssuerFile.Flaw) -> [Made] {
        guard let value = members[name] else { return [] }
        guard case .array(let values) = value else { throw flaw(name, "must be a list") }
        var made: [Made] = []
        for (index, value) in values.enumerated() {
            let entry = try IssuerEntry(value, at: "\(name)[\(index)]")
            made.append(try make(entry))
        }
        return made
    }
}
