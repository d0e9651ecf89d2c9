import Contract
import Crypto
import Foundation
import Synchronization
import Testing

@testable import Credentials

/// A clock that a test moves.
private final class TestClock: Sendable {
    private let seconds: Atomic<Int64> = Atomic(1_800_000_000)

    func move(by duration: Int64) { seconds.wrappingAdd(duration, ordering: .relaxed) }
    var now: Timestamp { Timestamp(milliseconds: seconds.load(ordering: .relaxed) * 1000) }
}

@Suite struct AccessTokensTests {
    private let clock = TestClock()
    private let key = SigningKey()
    private let user = EntityID.now
    private let session = EntityID.now

    private func tokens(issuer: String = "kababeat", audience: String = "clients", _ keys: [SigningKey]? = nil) async -> AccessTokens {
        let clock = clock
        let tokens = AccessTokens(.init(issuer: issuer, audience: audience, lifetime: 600)) { clock.now }
        await tokens.use(keys ?? [key], active: (keys?.first ?? key).id)
        return tokens
    }

    /// A token with any header and any claims, signed with a key of ours.
    private func forge(
        _ header: [String: Any] = [:], _ claims: [String: Any?] = [:], key: SigningKey? = nil, signature: [UInt8]? = nil
    ) throws -> String {
        let key = key ?? self.key
        let now = clock.now.milliseconds / 1000
        let wholeHeader: [String: Any] = ["alg": "ES256", "typ": "at+jwt", "kid": key.id].merging(header) { _, new in new }
        let wholeClaims: [String: Any?] = [
            "iss": "kababeat", "aud": "clients", "sub": user.description, "sid": session.description, "jti": EntityID.now.description,
            "iat": now, "exp": now + 600,
        ].merging(claims) { _, new in new }
        let parts = try [wholeHeader, wholeClaims.compactMapValues { $0 }].map {
            Base64URL.encode(Array(try JSONSerialization.data(withJSONObject: $0)))
        }
        let signed = parts.joined(separator: ".")
        let signature = try signature ?? Array(key.key.signature(for: Array(signed.utf8)).rawRepresentation)
        return "\(signed).\(Base64URL.encode(signature))"
    }

    private func error(_ token: String, _ tokens: AccessTokens) async -> AccessTokenError? {
        do { _ = try await tokens.verify(token) } catch { return error }
        return nil
    }

    @Test func whatIsIssuedIsVerifiedAndSaysWhoActs() async throws {
        let tokens = await tokens()
        let token = try await tokens.issue(user: user, session: session)
        for _ in 0..<2 {
            let claims = try await tokens.verify(token)
            #expect(claims.userID == user && claims.sessionID == session)
            #expect(claims.expiresAt == clock.now.milliseconds / 1000 + 600)
        }
    }

    @Test func aTokenIsOfTypeAccessTokenAndNamesItsKeyAndNothingOfItsAccount() async throws {
        let token = try await tokens().issue(user: user, session: session)
        var parts: [[String: Any]] = []
        for part in token.split(separator: ".").prefix(2) {
            let bytes = try #require(Base64URL.decode(part))
            parts.append(try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]))
        }
        #expect(parts[0]["typ"] as? String == "at+jwt" && parts[0]["alg"] as? String == "ES256" && parts[0]["kid"] as? String == key.id)
        #expect(Set(parts[1].keys) == ["iss", "aud", "sub", "sid", "iat", "exp", "jti"])
    }

    @Test func aForgedTokenOfAGoodShapeIsTakenSoThatTheOthersAreRefusedForWhatTheyAre() async throws {
        #expect(try await error(forge(), tokens()) == nil)
    }

    @Test func noOtherAlgorithmOrTypeIsOurs() async throws {
        let tokens = await tokens()
        for algorithm in ["none", "None", "HS256", "RS256", "ES384", "EdDSA", ""] {
            #expect(try await error(forge(["alg": algorithm]), tokens) == .foreign, "\(algorithm)")
            #expect(try await error(forge(["alg": algorithm], signature: []), tokens) == .foreign, "\(algorithm)")
        }
        for type in ["JWT", "at+JWT ", "", "refresh"] { #expect(try await error(forge(["typ": type]), tokens) == .foreign, "\(type)") }
        #expect(try await error(forge(["crit": ["b64"], "b64": false]), tokens) == .foreign)
    }

    /// The public key, which everybody has, as the secret of a symmetric algorithm.
    @Test func aTokenSignedWithThePublicKeyCountsForNothing() async throws {
        let token = try forge(["alg": "HS256"])
        let signed = token.split(separator: ".").prefix(2).joined(separator: ".")
        for secret in [
            Array(key.publicJWK.utf8), Array(key.key.publicKey.rawRepresentation), Array(key.key.publicKey.pemRepresentation.utf8),
        ] {
            let code = HMAC<SHA256>.authenticationCode(for: Array(signed.utf8), using: SymmetricKey(data: secret))
            #expect(await error("\(signed).\(Base64URL.encode(Array(code)))", tokens()) == .foreign)
        }
    }

    @Test func aSignatureOfAnotherKeyOrOfOtherBytesIsNone() async throws {
        let tokens = await tokens()
        let token = try forge()
        let parts = token.split(separator: ".").map(String.init)
        let other = try forge([:], ["sub": EntityID.now.description]).split(separator: ".").map(String.init)
        #expect(await error([parts[0], other[1], parts[2]].joined(separator: "."), tokens) == .invalid)
        #expect(try await error(forge(["kid": key.id], key: SigningKey()), tokens) == .invalid)
        for signature in [[], [0], Array(repeating: UInt8(0), count: 64), Array(repeating: UInt8(255), count: 64)] {
            #expect(try await error(forge(signature: signature), tokens) == .invalid, "\(signature.count)")
        }
    }

    @Test func anUnknownKeyIsSaidToBeSo() async throws {
        let tokens = await tokens()
        #expect(try await error(forge(key: SigningKey()), tokens) == .unknownKey)
        #expect(try await error(forge(["kid": ""]), tokens) == .unknownKey)
        let none = AccessTokens(.init(issuer: "kababeat", audience: "clients"))
        #expect(try await error(forge(), none) == .unknownKey)
        await #expect(throws: Problem.unavailable(.postgres)) { try await none.issue(user: user, session: session) }
    }

    @Test func issuerAudienceAndSubjectMustFit() async throws {
        let tokens = await tokens()
        for (name, value) in [
            ("iss", "somebody"), ("aud", "others"), ("sub", "nobody"), ("sid", ""), ("jti", "x"), ("iss", nil), ("aud", nil), ("sub", nil),
            ("sid", nil), ("exp", nil), ("iat", nil),
        ] as [(String, String?)] {
            #expect(try await error(forge([:], [name: value as Any?]), tokens) == .invalid, "\(name)")
        }
        #expect(try await error(forge([:], ["aud": ["clients", "others"]]), tokens) == .invalid)
        #expect(try await error(forge([:], ["exp": "never"]), tokens) == .invalid)
    }

    @Test func clocksMayDifferByHalfAMinute() async throws {
        let tokens = await tokens()
        let now = clock.now.milliseconds / 1000
        #expect(try await error(forge([:], ["exp": now - 29]), tokens) == nil)
        #expect(try await error(forge([:], ["exp": now - 30]), tokens) == .expired)
        #expect(try await error(forge([:], ["iat": now + 30]), tokens) == nil)
        #expect(try await error(forge([:], ["iat": now + 31]), tokens) == .invalid)
        #expect(try await error(forge([:], ["nbf": now + 30]), tokens) == nil)
        #expect(try await error(forge([:], ["nbf": now + 31]), tokens) == .invalid)
        #expect(try await error(forge([:], ["exp": Int64.min]), tokens) != nil)
    }

    @Test func aTokenThatWasSeenExpiresAllTheSame() async throws {
        let tokens = await tokens()
        let token = try await tokens.issue(user: user, session: session)
        #expect(await error(token, tokens) == nil)
        clock.move(by: 629)
        #expect(await error(token, tokens) == nil)
        clock.move(by: 1)
        #expect(await error(token, tokens) == .expired)
    }

    @Test func aTokenThatWasSeenCountsForNothingOnceItsKeyIsGone() async throws {
        let tokens = await tokens()
        let token = try await tokens.issue(user: user, session: session)
        #expect(await error(token, tokens) == nil)
        let next = SigningKey()
        await tokens.use([next, key], active: next.id)
        #expect(await error(token, tokens) == nil)
        await tokens.use([next], active: next.id)
        #expect(await error(token, tokens) == .unknownKey)
    }

    @Test func anotherInstanceWithTheSameKeysTakesTheToken() async throws {
        let token = try await tokens().issue(user: user, session: session)
        let stored = try #require(SigningKey(privateBytes: key.privateBytes))
        #expect(stored.id == key.id)
        #expect(await error(token, tokens([stored])) == nil)
    }

    @Test(arguments: [
        "", ".", "..", "...", "a.b.c", "e30.e30.", "e30.e30.e30", "null.null.null", "kbk_abc", "ey", "💥.💥.💥", "eyJhbGciOiJFUzI1NiJ9..",
    ])
    func whatIsNoTokenIsNotOurs(text: String) async {
        #expect(await error(text, tokens()) == .foreign)
    }

    @Test func aTokenOfImmenseLengthIsNotLookedAt() async throws {
        #expect(try await error(forge([:], ["padding": String(repeating: "x", count: 3000)]), tokens()) == .foreign)
    }

    @Test func noDescriptionShowsAKey() {
        let shown = "\(key) \(String(reflecting: key))"
        #expect(!shown.contains("["))
        #expect(!key.publicJWK.contains(Base64URL.encode(key.privateBytes)))
        #expect(Mirror(reflecting: key).children.isEmpty)
    }

    /// The thumbprint and the point as another library has them.
    @Test func aKeyHasTheNameThatTheStandardGivesIt() throws {
        let bytes = try #require(Base64URL.decode("OIyj6BZRI2vOqOOz-O9ovIHHeyqPzzGnBx4M4_qA_N4"))
        let key = try #require(SigningKey(privateBytes: bytes))
        #expect(key.id == "Dc3P2YbKP03I6MTfT7FTKcQp_Da6KxyLv0F64tcWbKU")
        #expect(
            key.publicJWK
                == #"{"kty":"EC","crv":"P-256","x":"3vYSQVNhmlirn6Tq_92LUeTqdF6auTTB919kaeg5sdY","#
                + #""y":"7CHE3SnMz_UOocE4N_cd28NNGmPr_afXL5HwNC3bqBg","kid":"Dc3P2YbKP03I6MTfT7FTKcQp_Da6KxyLv0F64tcWbKU","#
                + #""alg":"ES256","use":"sig"}"#)
        #expect(SigningKey(privateBytes: []) == nil)
        #expect(SigningKey(privateBytes: Array(repeating: 0, count: 32)) == nil)
    }
}

@Suite struct RememberedTokensTests {
    private static func entry() -> RememberedTokens.Entry {
        .init(claims: AccessClaims(userID: .now, sessionID: .now, tokenID: .now, expiresAt: 0), keyID: "key")
    }

    @Test func theyAreNeverMoreThanTheCapacity() {
        let tokens = RememberedTokens(capacity: 100)
        for number in 0..<1000 {
            tokens[TokenDigest("token \(number)")] = Self.entry()
            #expect(tokens.count <= 100)
        }
        #expect(tokens[TokenDigest("token 999")] != nil)
        #expect(tokens[TokenDigest("token 0")] == nil)
    }

    @Test func whatIsAskedForAgainAndAgainStays() {
        let tokens = RememberedTokens(capacity: 100)
        let wanted = TokenDigest("wanted")
        tokens[wanted] = Self.entry()
        for number in 0..<1000 {
            tokens[TokenDigest("token \(number)")] = Self.entry()
            #expect(tokens[wanted] != nil)
        }
    }
}
