import Contract
import JWTKit

/// Takes the access tokens of the issuers that configuration trusts, and knows which account each speaks for.
public final class TrustedIssuerAuthenticator: TrustedTokens {
    private struct Trusted: Sendable {
        let issuer: TrustedIssuer
        let keys: TrustedIssuerDocument<TrustedIssuerKeys>
    }

    private let issuers: [String: Trusted]
    private let links: IdentityLinks

    public convenience init(issuers: [TrustedIssuer], links: IdentityLinks, fetcher: OpenIDFetcher) {
        self.init(issuers: issuers, links: links, fetcher: fetcher, limits: .init())
    }

    init(
        issuers: [TrustedIssuer], links: IdentityLinks, fetcher: OpenIDFetcher, limits: TrustedIssuerDocument<TrustedIssuerKeys>.Limits
    ) {
        self.links = links
        self.issuers = Dictionary(
            issuers.map { ($0.issuer, Trusted(issuer: $0, keys: Self.keys(of: $0, fetcher, limits))) }
        ) { first, _ in first }
    }

    private static func keys(
        of issuer: TrustedIssuer, _ fetcher: OpenIDFetcher, _ limits: TrustedIssuerDocument<TrustedIssuerKeys>.Limits
    ) -> TrustedIssuerDocument<TrustedIssuerKeys> {
        switch issuer.source {
        case .shared(let secret): TrustedIssuerDocument(limits: limits) { () throws(Problem) in await TrustedIssuerKeys(secret: secret) }
        case .published(let url): .keys(at: url, allowed: issuer.algorithms, fetcher, limits)
        }
    }

    /// The account that a token speaks for, which is made at the first sight of its subject. `storeUnavailable` also where an issuer has
    /// never said what its keys are.
    public func principal(forToken text: String) async throws(Problem) -> Principal? {
        guard let token = SignedToken(text), let name = token.claims.text("iss"), let trusted = issuers[name] else { return nil }
        let identity = try await identity(token, of: trusted)
        let account = try await links.account(for: identity, caller: nil)
        return .account(
            Account(id: account.id, sessionID: nil, roles: account.roles, isVerified: account.isVerified, hasSecondFactor: false))
    }

    private func identity(_ token: SignedToken, of trusted: Trusted) async throws(Problem) -> ForeignIdentity {
        let issuer = trusted.issuer
        guard let algorithm = SigningAlgorithm(rawValue: token.algorithm), issuer.algorithms.contains(algorithm) else {
            throw TokenFlaw.algorithm.problem
        }
        guard issuer.accepts(type: token.type) else { throw TokenFlaw.type.problem }
        let key = try await trusted.keys.key(for: token)
        guard token.isSigned(with: key) else { throw TokenFlaw.signature.problem }
        do throws(TokenFlaw) { try token.claims.checkTimes(now: .now) } catch { throw error.problem }
        guard !issuer.audiences.isDisjoint(with: token.claims.audiences) else { throw TokenFlaw.audience.problem }
        guard let identity = issuer.claims.identity(in: token.claims, issuer: issuer.issuer) else { throw TokenFlaw.subject.problem }
        return identity
    }
}

extension TrustedIssuerDocument where Value == TrustedIssuerKeys {
    /// The key set at `url`.
    static func keys(
        at url: IssuerURL, allowed: Set<SigningAlgorithm>, _ fetcher: OpenIDFetcher, _ limits: Limits
    ) -> TrustedIssuerDocument {
        TrustedIssuerDocument(limits: limits) { () throws(Problem) in
            let document = try await fetcher.document(url, limit: TrustedIssuerKeys.documentLimit)
            guard let keys = await TrustedIssuerKeys(document: document, allowed: allowed) else { throw OpenIDFetcher.away }
            return keys
        }
    }

    /// The key of a token. One that is not known yet may have been published since, so its issuer is asked again, now and then.
    func key(for token: SignedToken) async throws(Problem) -> any JWTAlgorithm {
        if let key = try await value().key(for: token) { return key }
        if let key = try await value(newer: true).key(for: token) { return key }
        throw TokenFlaw.unknownKey.problem
    }
}
