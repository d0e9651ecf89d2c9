import HTTPTypes
import Gateway
import Audit
import Contract
import Credentials
import DataPlane
import Foundation
import HTTPAPI
import PostgresClient
import TestSupport
import Testing

@testable import Identity

/// Every route of the gateway and whoever may call it, over real HTTP and real stores.
@Suite("Every route and every caller", .timeLimit(.minutes(5)))
struct RouteMatrixTests {
    /// Where requests get their credentials: a desk that signs as the gateway does, and one whose clock is an hour behind.
    private struct Credentials {
        let stack: Stack
        let desk: SessionDesk
        let yesterday: AccessTokens
        let keys: [Visitor: String]

        init(_ stack: Stack) async throws {
            self.stack = stack
            desk = try await SessionDesk(stack)
            let postgres = PostgresAccess(stack.postgres, observer: stack.recorder)
            yesterday = AccessTokens(.init(issuer: "https://kababeat.test", audience: "kababeat")) {
                Timestamp(milliseconds: Timestamp.now.milliseconds - 3_600_000)
            }
            let signing = SigningKeyService(postgres: postgres, secret: SessionDesk.secret, tokens: yesterday, observer: stack.recorder)
            try await signing.reload()
            let service = ServiceKeyService(
                postgres: postgres, observer: stack.recorder)
            let every = try await service.create(ServiceKeyOrder(name: "every", scopes: Set(Scope.allCases), expiresAt: nil))
            let some = try await service.create(ServiceKeyOrder(name: "some", scopes: [.catalogueRead], expiresAt: nil))
            keys = [.key: every, .otherKey: some]
        }

        /// What a request of this kind of caller carries in a scene; nil for nothing.
        func bearer(_ visitor: Visitor, in scene: Scene) async throws -> String? {
            if visitor == .anonymous { return nil }
            if let key = keys[visitor] { return key }
            let signedIn = try await desk.sessions.open(scene.id(of: visitor), caller: SessionDesk.caller, proof: .other)
            switch visitor {
            case .expired:
                let account = try await desk.account(signedIn)
                return try await yesterday.issue(user: account.id, session: try #require(account.sessionID))
            case .revoked:
                try await desk.sessions.logout(try await desk.account(signedIn), refreshToken: nil, caller: SessionDesk.caller)
            case .suspended:
                try await stack.owner.run("UPDATE users SET status = 'suspended' WHERE id = '\(scene.id(of: visitor))'")
            case .demoted:
                try await stack.owner.run(
                    """
                    DELETE FROM user_roles WHERE user_id = '\(scene.id(of: visitor))' AND role = 'creator';
                    UPDATE user_accounts SET creator_barred_at = now() WHERE user_id = '\(scene.id(of: visitor))'
                    """)
            default: break
            }
            return signedIn.accessToken
        }
    }

    /// New accounts, and a draft of the owner's that is shared with two of them, and half of which is offered to the viewer.
    private struct Scene {
        private let ids: [Visitor: EntityID]
        let beat = EntityID.now
        let friend = EntityID.now

        static func make(_ stack: Stack) async throws -> Scene {
            let scene = Scene(ids: Dictionary(uniqueKeysWithValues: Visitor.allCases.map { ($0, EntityID.now) }))
            try await stack.owner.run(scene.script)
            return scene
        }

        func id(of visitor: Visitor) -> EntityID {
            // The same account, with and without its role.
            ids[visitor == .demoted ? .owner : visitor] ?? friend
        }

        func name(_ id: EntityID) -> String { "v-\(String(id.rawValue & (1 << 62 - 1), radix: 36))" }

        private var script: String {
            let accounts = ids.values + [friend]
            let grants: [(Visitor, String)] = [(.owner, "creator"), (.creator, "creator"), (.admin, "admin")]
            let roles = accounts.map { "('\($0)', 'user')" } + grants.map { "('\(id(of: $0.0))', '\($0.1)')" }
            return """
                INSERT INTO users (id, username) VALUES \(accounts.map { "('\($0)', '\(name($0))')" }.joined(separator: ","));
                INSERT INTO user_accounts (user_id, email, email_verified_at)
                    VALUES \(accounts.map { "('\($0)', '\(name($0))@example.com', now())" }.joined(separator: ","));
                INSERT INTO user_roles (user_id, role) VALUES \(roles.joined(separator: ","));
                INSERT INTO beats (id, creator_id, title) VALUES ('\(beat)', '\(id(of: .owner))', 'Draft');
                INSERT INTO beat_content_staged (beat_id, version, content) VALUES ('\(beat)', 1, '{}');
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by, accepted_at) VALUES
                    ('\(beat)', '\(id(of: .collaborator))', 'collaborator', '\(id(of: .owner))', now()),
                    ('\(beat)', '\(id(of: .viewer))', 'viewer', '\(id(of: .owner))', now());
                INSERT INTO beat_splits (beat_id, user_id, share, offered_by)
                    VALUES ('\(beat)', '\(id(of: .viewer))', 50, '\(id(of: .owner))');
                """
        }

        /// The route's path with what stands for its parameters here.
        func path(_ route: String) -> String {
            let parameters = [
                "{id}": route.hasPrefix("/api/beats") ? beat : route.hasPrefix("/api/admin/users") ? friend : .now,
                "{user}": route.hasPrefix("/api/beats") ? id(of: .viewer) : friend,
            ]
            return parameters.reduce(route) { $0.replacing($1.key, with: $1.value.description) }
                .replacing("{provider}", with: "nowhere").replacing("{role}", with: "brand")
        }
    }

    @Test("A caller is let in, sent to sign in, refused or shown nothing, as the matrix has it for every route")
    func matrix() async throws {
        try await Stack.use { stack in
            let credentials = try await Credentials(stack)
            try await RunningGateway.run(stack, ["TOKEN_ISSUER": "https://kababeat.test"]) { gateway in
                let names = Set(gateway.service.routes.map(\.name))
                #expect(names.subtracting(RouteRule.all.keys).sorted() == [], "routes without a rule")
                #expect(Set(RouteRule.all.keys).subtracting(names).sorted() == [], "rules without a route")
                for route in gateway.service.routes {
                    guard let rule = RouteRule.all[route.name] else { continue }
                    for visitor in Visitor.allCases {
                        let scene = try await Scene.make(stack)
                        let bearer = try await credentials.bearer(visitor, in: scene)
                        let answer = try await gateway.send(
                            route.method.rawValue, scene.path(route.path), bearer: bearer,
                            body: route.body == .none ? nil : rule.body.replacing("{friend}", with: scene.friend.description))
                        Self.check(answer, rule.outcome(for: visitor), "\(route.name) as \(visitor): \(answer.status) \(answer.code)")
                    }
                }
            }
        }
    }

    private static func check(_ answer: RunningGateway.Answer, _ outcome: Outcome, _ comment: Comment) {
        switch outcome {
        case .admitted: #expect((200..<500).contains(answer.status) && ![401, 403, 405, 429].contains(answer.status), comment)
        case .status(let status): #expect(answer.status == status, comment)
        case .signInFirst: #expect(answer.status == 401 && answer.code == "unauthenticated", comment)
        case .forbidden: #expect(answer.status == 403 && answer.code == "forbidden", comment)
        case .hidden: #expect(answer.status == 404 && answer.code == "not_found", comment)
        case .suspended: #expect(answer.status == 403 && answer.code == "account_suspended", comment)
        }
    }
}
