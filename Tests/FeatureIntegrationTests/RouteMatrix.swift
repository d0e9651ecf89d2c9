/// Whoever may call. Each is somebody new for every request.
enum Visitor: String, CaseIterable, Sendable {
    case anonymous
    /// An account that has nothing to do with what the path names.
    case other
    /// The creator of the beat that the path names.
    case owner
    /// The same, after an admin took the role of a creator away.
    case demoted
    case collaborator, viewer
    /// Another creator.
    case creator
    case admin
    /// A service key with every scope there is, and one with none that a route asks for.
    case key, otherKey
    /// An account whose token is past its time, whose session was ended, or that is suspended.
    case expired, revoked, suspended

    static let accounts: Set<Visitor> = [.other, .owner, .demoted, .collaborator, .viewer, .creator, .admin]
    static let keys: Set<Visitor> = [.key, .otherKey]
}

/// What a caller has to be told.
enum Outcome: Equatable, Sendable {
    /// Let in: whatever becomes of the request is its own affair, but it is neither a matter of who asks nor an error of ours.
    case admitted
    case status(Int)
    /// 401, `unauthenticated`.
    case signInFirst
    /// 403, `forbidden`.
    case forbidden
    /// 404: there is nothing that this caller may know of.
    case hidden
    /// 403, `account_suspended`.
    case suspended
}

/// What a route promises to whom: said here a second time and in other words than the route table, so that neither can be wrong alone.
struct RouteRule: Sendable {
    var outcomes: [Visitor: Outcome] = [:]
    /// Whether a credential that is none any more counts as none: where somebody comes to get a new one.
    var toleratesTheDead = false
    var body = "{}"

    func outcome(for visitor: Visitor) -> Outcome {
        switch visitor {
        case .expired, .revoked: toleratesTheDead ? outcomes[.anonymous] ?? .signInFirst : .signInFirst
        case .suspended: toleratesTheDead ? outcomes[.anonymous] ?? .signInFirst : .suspended
        case .anonymous: outcomes[visitor] ?? .signInFirst
        case .demoted: outcomes[visitor] ?? outcomes[.owner] ?? .forbidden
        default: outcomes[visitor] ?? .forbidden
        }
    }

    private static func admitting(_ visitors: Set<Visitor>) -> RouteRule {
        RouteRule(outcomes: Dictionary(uniqueKeysWithValues: visitors.map { ($0, .admitted) }))
    }

    static let everybody = admitting(Visitor.accounts.union(Visitor.keys).union([.anonymous]))
    /// As `everybody`, and whoever was somebody once.
    static let desk: RouteRule = {
        var rule = everybody
        rule.toleratesTheDead = true
        return rule
    }()
    static let accounts = admitting(Visitor.accounts)
    static let accountsButDemoted: RouteRule = {
        var rule = accounts
        rule.outcomes[.demoted] = .forbidden
        return rule
    }()
    /// For whoever has a session to end; a token that is none any more says of none.
    static let leaving: RouteRule = {
        var rule = accounts
        for key in Visitor.keys { rule.outcomes[key] = .signInFirst }
        rule.toleratesTheDead = true
        return rule
    }()
    static let creators: RouteRule = {
        var rule = admitting([.owner, .creator])
        rule.outcomes[.demoted] = .forbidden
        return rule
    }()
    static let admins = admitting([.admin])
    static let adminsAndKey = admitting([.admin, .key])

    /// For routes about a beat that is not published: the beat is there for its owner, for whom it is shared with, and for admins. Whom
    /// it is there for are told `otherwise` where they may not; nobody else learns of it.
    static func draft(_ outcomes: [Visitor: Outcome], otherwise: Outcome = .forbidden, body: String = "{}") -> RouteRule {
        var rule = RouteRule(outcomes: [.other: .hidden, .creator: .hidden], body: body)
        for visitor in [Visitor.owner, .collaborator, .viewer, .admin] { rule.outcomes[visitor] = outcomes[visitor] ?? otherwise }
        rule.outcomes.merge(outcomes) { $1 }
        return rule
    }

    /// As `draft`, where the owner has to be a creator as well: who is none is refused before there is any talk of a beat.
    static func draftOfCreator(_ outcome: Outcome, body: String = "{}") -> RouteRule {
        draft([.owner: outcome, .other: .forbidden, .demoted: .forbidden], body: body)
    }

    /// `{id}` is a draft that is shared, wherever it stands for a beat.
    static let all: [String: RouteRule] = [
        // Beats, for everybody
        "GET /api/beats": .everybody,
        "GET /api/beats/search": .everybody,
        "GET /api/beats/featured": .everybody,
        "GET /api/users/{user}/beats": .everybody,
        "GET /api/genres": .everybody,
        "GET /api/users/{user}": .everybody,

        // Making beats
        "POST /api/beats": .creators,
        "GET /api/users/me/beats": .accounts,
        "PUT /api/beats/{id}": .draft(
            [.owner: .admitted, .demoted: .forbidden, .collaborator: .admitted], body: #"{"title":"Renamed"}"#),
        "PATCH /api/beats/{id}": .draft(
            [.owner: .admitted, .demoted: .forbidden, .collaborator: .admitted], body: #"{"title":"Renamed"}"#),
        "DELETE /api/beats/{id}": .draft([.owner: .status(204)]),
        "GET /api/beats/{id}/versions": .draft([.owner: .status(200), .collaborator: .status(200)]),
        "POST /api/beats/{id}/publish": .draftOfCreator(.admitted),
        "POST /api/beats/{id}/unpublish": .draft([.owner: .admitted]),
        "POST /api/beats/{id}/archive": .draft([.owner: .admitted]),
        // Of shares everybody who may see the beat sees those that concern him, which may be none.
        "GET /api/beats/{id}/splits": .draft([:], otherwise: .status(200)),
        "PUT /api/beats/{id}/splits": .draftOfCreator(.admitted, body: #"{"splits":[]}"#),
        "POST /api/beats/{id}/splits/accept": .draft([.viewer: .status(200)], otherwise: .hidden, body: #"{"share":50.00}"#),
        "DELETE /api/beats/{id}/splits/{user}": .draft([.owner: .status(204), .viewer: .status(204)], otherwise: .hidden),
        "GET /api/users/me/splits": .accounts,

        // Beats that are shared
        "GET /api/beats/{id}": .draft([
            .anonymous: .hidden, .key: .hidden, .otherKey: .hidden, .owner: .status(200), .collaborator: .status(200),
            .viewer: .status(200),
            .admin: .status(200),
        ]),
        "GET /api/beats/{id}/permissions": .draft([.owner: .status(200)]),
        "POST /api/beats/{id}/permissions": .draftOfCreator(.status(201), body: #"{"user":"{friend}","permission":"viewer"}"#),
        "POST /api/beats/{id}/permissions/accept": .draft(
            [.collaborator: .status(200), .viewer: .status(200)], otherwise: .hidden),
        "DELETE /api/beats/{id}/permissions/{user}": .draft([.owner: .status(204), .viewer: .status(204)], otherwise: .hidden),
        "GET /api/users/me/permissions": .accounts,

        // Accounts
        "POST /api/auth/register": .desk,
        "POST /api/auth/verify-email": .desk,
        "POST /api/auth/resend-verification": .desk,
        "POST /api/auth/forgot-password": .desk,
        "POST /api/auth/reset-password": .desk,
        "POST /api/auth/change-password": .accounts,
        "PUT /api/auth/email": .accounts,
        "GET /api/auth/me": .accounts,
        "GET /api/auth/profile": .accounts,
        "GET /api/users/me": .accounts,
        "GET /api/users/profile": .accounts,
        "PUT /api/auth/profile": .accounts,
        "PUT /api/auth/update-profile": .accounts,
        "PUT /api/users/me": .accounts,
        "PUT /api/users/profile": .accounts,
        "PUT /api/users/me/username": .accounts,
        "POST /api/users/me/creator": .accountsButDemoted,
        "DELETE /api/users/me": .accounts,

        // Signing in
        "POST /api/auth/login": .desk,
        "POST /api/auth/refresh": .desk,
        "POST /api/auth/logout": .leaving,
        "GET /api/auth/sessions": .accounts,
        "DELETE /api/auth/sessions": .accounts,
        "DELETE /api/auth/sessions/{id}": .accounts,
        "GET /api/auth/second-factor": .accounts,
        "POST /api/auth/second-factor": .accounts,
        "POST /api/auth/second-factor/confirm": .accounts,
        "DELETE /api/auth/second-factor": .accounts,
        "GET /api/auth/openid": .everybody,
        "GET /api/auth/openid/{provider}/start": .desk,
        "GET /api/auth/openid/{provider}/callback": .desk,
        "POST /api/auth/openid/second-factor": .desk,
        "POST /api/auth/openid/{provider}/link": .accounts,
        "DELETE /api/auth/openid/{provider}/link": .accounts,

        // Administration
        "GET /api/admin/audit": .adminsAndKey,
        "GET /api/admin/outbox": .admins,
        "GET /api/admin/outbox/dead": .admins,
        "POST /api/admin/outbox/dead/replay": .admins,
        "POST /api/admin/outbox/dead/purge": .admins,
        "GET /api/admin/users": .admins,
        "POST /api/admin/users/{id}/suspend": .admins,
        "POST /api/admin/users/{id}/unsuspend": .admins,
        "POST /api/admin/users/{id}/roles": .admins,
        "DELETE /api/admin/users/{id}/roles/{role}": .admins,
        "GET /api/admin/service-keys": .admins,
        "POST /api/admin/service-keys": .admins,
        "DELETE /api/admin/service-keys/{id}": .admins,

        // Operation
        "GET /.well-known/jwks.json": .everybody,
        "GET /health/live": .desk,
        "GET /health/ready": .desk,
        "GET /metrics": .desk,
        "GET /openapi.yaml": .everybody,
    ]
}
