import Contract
import Foundation
import JWTKit
import Synchronization

/// Issues and verifies access tokens: JSON Web Tokens of type `at+jwt` (RFC 9068), signed with ES256.
///
/// Verifying takes a signature check once a token; after that its digest is enough until it expires, or its key goes.
public final class AccessTokens: Sendable {
    /// What tokens say, and how many are remembered.
    public struct Configuration: Sendable {
        /// Who signs: `iss`.
        public var issuer: String
        /// For whom: `aud`.
        public var audience: String
        /// Seconds that a token is good for.
        public var lifetime: Int64
        /// Verified tokens that are remembered.
        public var remembered: Int

        public init(issuer: String, audience: String, lifetime: Int64 = 600, remembered: Int = 16_384) {
            self.issuer = issuer
            self.audience = audience
            self.lifetime = lifetime
            self.remembered = remembered
        }
    }

    /// Seconds that clocks may differ by.
    public static let leeway: Int64 = 30
    private static let type = "at+jwt"
    private static let longest = 2048

    private struct Keys: Sendable {
        var ids: Set<String> = []
        var active: String?
        /// Asked only for keys in `ids`: it takes its first key for whatever else a token names.
        var collection = JWTKeyCollection()
    }

    private let configuration: Configuration
    private let now: @Sendable () -> Timestamp
    private let keys = Mutex(Keys())
    private let remembered: RememberedTokens

    public init(
        _ configuration: Configuration,
        now: @escaping @Sendable () -> Timestamp = { .now }
    ) {
        self.configuration = configuration
        self.now = now
        remembered = RememberedTokens(capacity: configuration.remembered)
    }

    /// How long a token is good for.
    public var lifetime: Duration { .seconds(configuration.lifetime) }

    /// From now on tokens are signed with the key `active`, and those of all `keys` count.
    public func use(_ keys: [SigningKey], active: String) async {
        let collection = JWTKeyCollection()
        var ids: Set<String> = []
        for key in keys {
            // Throws for a key of another curve, and a `SigningKey` is of this one.
            guard let jwtKey = try? ES256PrivateKey(backing: key.key) else { continue }
            await collection.add(ecdsa: jwtKey, kid: JWKIdentifier(string: key.id))
            ids.insert(key.id)
        }
        let fresh = Keys(ids: ids, active: ids.contains(active) ? active : nil, collection: collection)
        self.keys.withLock { $0 = fresh }
    }

    /// A token for a session. Throws `storeUnavailable` as long as there are no keys, since they come from Postgres.
    public func issue(user: EntityID, session: EntityID) async throws(Problem) -> String {
        let keys = keys.withLock { $0 }
        guard let active = keys.active else { throw .unavailable(.postgres) }
        let now = now()
        let seconds = now.milliseconds / 1000
        let payload = Payload(
            iss: configuration.issuer, aud: configuration.audience, sub: user.description, sid: session.description, iat: seconds, nbf: nil,
            exp: seconds + configuration.lifetime, jti: EntityID.make(milliseconds: now.milliseconds).description)
        do {
            return try await keys.collection.sign(payload, kid: JWKIdentifier(string: active), header: ["typ": .string(Self.type)])
        } catch {
            throw .unexpected
        }
    }

    /// What a token says that is ours, unexpired and for us.
    public func verify(_ text: String) async throws(AccessTokenError) -> AccessClaims {
        guard text.utf8.count <= Self.longest else { throw .foreign }
        let seconds = now().milliseconds / 1000
        let keys = keys.withLock { $0 }
        let digest = TokenDigest(text)
        if let known = remembered[digest], keys.ids.contains(known.keyID) {
            guard known.claims.expiresAt + Self.leeway > seconds else { throw .expired }
            return known.claims
        }
        let header = try Self.header(text)
        guard header.alg == SigningKey.algorithm, header.typ == Self.type, header.crit == nil, let keyID = header.kid else {
            throw .foreign
        }
        guard keys.ids.contains(keyID) else { throw .unknownKey }
        let payload: Payload
        do { payload = try await keys.collection.verify(text, as: Payload.self) } catch { throw .invalid }
        let claims = try check(payload, seconds)
        remembered[digest] = .init(claims: claims, keyID: keyID)
        return claims
    }

    private func check(_ payload: Payload, _ seconds: Int64) throws(AccessTokenError) -> AccessClaims {
        guard payload.iss == configuration.issuer, payload.aud == configuration.audience, let user = EntityID(payload.sub),
            let session = EntityID(payload.sid), let token = EntityID(payload.jti),
            max(payload.iat, payload.nbf ?? payload.iat) <= seconds + Self.leeway
        else { throw .invalid }
        guard payload.exp + Self.leeway > seconds else { throw .expired }
        return AccessClaims(userID: user, sessionID: session, tokenID: token, expiresAt: payload.exp)
    }

    private static func header(_ text: String) throws(AccessTokenError) -> Header {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let bytes = Base64URL.decode(Substring(parts[0])),
            let header = try? JSONDecoder().decode(Header.self, from: Data(bytes))
        else { throw .foreign }
        return header
    }

    private struct Header: Decodable {
        let alg: String
        let typ: String?
        let kid: String?
        /// Extensions that must be understood; we know none (RFC 7515 §4.1.11).
        let crit: [String]?
    }

    private struct Payload: JWTPayload {
        let iss: String
        let aud: String
        let sub: String
        let sid: String
        let iat: Int64
        let nbf: Int64?
        let exp: Int64
        let jti: String

        /// Nothing that needs the algorithm; `check` judges the claims, which takes a clock.
        func verify(using algorithm: some JWTAlgorithm) {}
    }
}
