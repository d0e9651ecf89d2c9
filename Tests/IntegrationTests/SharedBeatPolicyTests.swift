import PostgresClient
import Testing

/// What an invitation to somebody's beat allows, before and after it is accepted.
@Suite("Policies of shared beats")
struct SharedBeatPolicyTests {
    private static let refused = "42501"
    private static let accept = "UPDATE beat_permissions SET accepted_at = now() WHERE beat_id = '\(PolicyRows.draft)'"
    private static let rename = "UPDATE beats SET title = 'renamed' WHERE id = '\(PolicyRows.draft)'"

    /// Lends rows where Bob is invited to Ada's draft as `type`.
    private static func invited(as type: String, _ body: (PostgresClient) async throws -> Void) async throws {
        try await PolicyRows.use { gateway throws in
            try await gateway.change("DELETE FROM beat_permissions", as: PolicyRows.asAda)
            try await gateway.change(
                """
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by)
                VALUES ('\(PolicyRows.draft)', '\(PolicyRows.bob)', '\(type)', '\(PolicyRows.ada)')
                """, as: PolicyRows.asAda)
            try await body(gateway)
        }
    }

    @Test("A viewer reads an unpublished beat once he has accepted, and edits it never", arguments: ["viewer", "collaborator", "owner"])
    func viewer(_ type: String) async throws {
        try await Self.invited(as: type) { gateway throws in
            #expect(try await gateway.texts("SELECT title FROM beats", settings: PolicyRows.asBob) == ["out"])
            #expect(try await gateway.change(Self.rename, as: PolicyRows.asBob) == 0)
            #expect(try await gateway.change(Self.accept, as: PolicyRows.asBob) == 1)
            #expect(try await gateway.count("beats", settings: PolicyRows.asBob) == 2)
            #expect(try await gateway.count("beats", settings: PolicyRows.asEve) == 1)
            #expect(try await gateway.change(Self.rename, as: PolicyRows.asBob) == (type == "viewer" ? 0 : 1))
            let stage = "UPDATE beat_content_staged SET version = 2 WHERE beat_id = '\(PolicyRows.draft)'"
            #expect(try await gateway.change(stage, as: PolicyRows.asBob) == (type == "viewer" ? 0 : 1))
            try await gateway.change(
                "UPDATE beats SET status = 'archived', deleted_at = now() WHERE id = '\(PolicyRows.draft)'", as: PolicyRows.asAda)
            #expect(try await gateway.count("beats", settings: PolicyRows.asBob) == 1)
        }
    }

    @Test("A collaborator neither takes a beat nor gives it away, and neither publishes, features nor deletes it")
    func bounds() async throws {
        try await Self.invited(as: "collaborator") { gateway throws in
            try await gateway.change(Self.accept, as: PolicyRows.asBob)
            for (change, refusal) in [
                ("creator_id = '\(PolicyRows.bob)'", "beats_creator_stays"), ("creator_id = '\(PolicyRows.eve)'", "beats_creator_stays"),
                ("is_featured = true", "beats_featured_is_given"),
                ("status = 'published', published_at = now()", "beats_status_is_the_creators"),
                ("status = 'archived', deleted_at = now()", "beats_status_is_the_creators"),
            ] {
                let statement = "UPDATE beats SET \(change) WHERE id = '\(PolicyRows.draft)'"
                #expect(try await gateway.refusal(statement, as: PolicyRows.asBob) == refusal, "\(change)")
            }
            #expect(try await gateway.refusal("UPDATE beats SET is_featured = true", as: PolicyRows.asAda) == "beats_featured_is_given")
            let featured =
                "INSERT INTO beats (id, creator_id, title, is_featured) VALUES (gen_random_uuid(), '\(PolicyRows.ada)', 't', true)"
            #expect(try await gateway.refusal(featured, as: PolicyRows.asAda) == Self.refused)
            let invite = """
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by)
                VALUES ('\(PolicyRows.draft)', '\(PolicyRows.eve)', 'viewer', '\(PolicyRows.ada)')
                """
            #expect(try await gateway.refusal(invite, as: PolicyRows.asBob) == Self.refused)
        }
    }

    @Test("Who is no creator any more takes back what they made, and neither changes, shares nor publishes it")
    func formerCreator() async throws {
        try await Self.invited(as: "collaborator") { gateway throws in
            try await gateway.change(Self.accept, as: PolicyRows.asBob)
            try await gateway.change("DELETE FROM user_roles WHERE role = 'creator'", as: PolicyRows.system)
            // Whatever role the gateway names: the highest one says nothing of this one.
            for ada in [PolicyRows.principal("user", PolicyRows.ada), PolicyRows.principal("brand", PolicyRows.ada)] {
                let taker = "beats_change_takes_a_creator"
                for change in [
                    "title = 'x'", "description = 'x'", "price_basic = 1", "currency = 'EUR'",
                    "content_version = content_version + 1, version = version + 1", "status = 'published', published_at = now()",
                ] {
                    let statement = "UPDATE beats SET \(change) WHERE id = '\(PolicyRows.draft)'"
                    #expect(try await gateway.refusal(statement, as: ada) == taker, "\(change)")
                }
                for statement in [
                    "INSERT INTO beats (id, creator_id, title) VALUES (gen_random_uuid(), '\(PolicyRows.ada)', 't')",
                    """
                    INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by)
                    VALUES ('\(PolicyRows.draft)', '\(PolicyRows.eve)', 'viewer', '\(PolicyRows.ada)')
                    """,
                    """
                    INSERT INTO beat_splits (beat_id, user_id, share, offered_by)
                    VALUES ('\(PolicyRows.draft)', '\(PolicyRows.eve)', 1, '\(PolicyRows.ada)')
                    """,
                ] {
                    #expect(try await gateway.refusal(statement, as: ada) == Self.refused, "\(statement)")
                }
                #expect(try await gateway.change("UPDATE beats SET status = 'draft' WHERE id = '\(PolicyRows.published)'", as: ada) == 1)
                try await gateway.change(
                    "UPDATE beats SET status = 'published' WHERE id = '\(PolicyRows.published)'", as: PolicyRows.system)
                #expect(try await gateway.count("beats", settings: ada) == 2)
            }
            #expect(try await gateway.change(Self.rename, as: PolicyRows.asBob) == 1)
        }
    }

    @Test("An open offer of a share is its holder's to decline, an accepted one its creator's to replace")
    func shares() async throws {
        try await PolicyRows.use { gateway throws in
            let offer = """
                INSERT INTO beat_splits (beat_id, user_id, share, offered_by)
                VALUES ('\(PolicyRows.draft)', '\(PolicyRows.bob)', 1, '\(PolicyRows.ada)')
                """
            let end = "DELETE FROM beat_splits WHERE user_id = '\(PolicyRows.bob)'"
            try await gateway.change(offer, as: PolicyRows.asAda)
            #expect(try await gateway.change(end, as: PolicyRows.asEve) == 0)
            #expect(try await gateway.change(end, as: PolicyRows.asBob) == 1)
            try await gateway.change(offer, as: PolicyRows.asAda)
            #expect(try await gateway.change("UPDATE beat_splits SET accepted_at = now()", as: PolicyRows.asBob) == 1)
            #expect(try await gateway.change(end, as: PolicyRows.asBob) == 0)
            #expect(try await gateway.change(end, as: PolicyRows.asAda) == 1)
        }
    }

    @Test("An invitation is the invited's alone to accept, once and as it stands; either side ends it")
    func invitations() async throws {
        try await Self.invited(as: "viewer") { gateway throws in
            for stranger in [PolicyRows.asAda, PolicyRows.asEve, PolicyRows.asRoot] {
                #expect(try await gateway.change(Self.accept, as: stranger) == 0)
            }
            let accepted = """
                INSERT INTO beat_permissions (beat_id, user_id, permission_type, granted_by, accepted_at)
                VALUES ('\(PolicyRows.draft)', '\(PolicyRows.eve)', 'viewer', '\(PolicyRows.ada)', now())
                """
            #expect(try await gateway.refusal(accepted, as: PolicyRows.asAda) == Self.refused)
            let raise = "UPDATE beat_permissions SET permission_type = 'owner', accepted_at = now()"
            #expect(try await gateway.refusal(raise, as: PolicyRows.asBob) == Self.refused)
            #expect(try await gateway.change(Self.accept, as: PolicyRows.asBob) == 1)
            #expect(try await gateway.change(Self.accept, as: PolicyRows.asBob) == 0)
            let end = "DELETE FROM beat_permissions WHERE beat_id = '\(PolicyRows.draft)'"
            #expect(try await gateway.change(end, as: PolicyRows.asEve) == 0)
            #expect(try await gateway.change(end, as: PolicyRows.asBob) == 1)
            #expect(try await gateway.count("beats", settings: PolicyRows.asBob) == 1)
        }
    }
}
