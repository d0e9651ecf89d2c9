import Contract
import MongoClient
import Testing

@testable import Beats
@testable import DataPlane

@Suite("Beats that were never published", .timeLimit(.minutes(2))) struct UnlistedBeatTests {
    @Test("They have content and no row of the search index, made, edited, deleted or rebuilt; published, they have one")
    func rows() async throws {
        try await Stack.use { stack in
            let drafts = try await stack.makeCatalogue(published: 1, drafts: 3).drafts
            try await stack.change(drafts[0], "title = 'Other'")
            try await stack.change(drafts[1], "title = 'Other'", content: #"{"metadata": {"bpm": 101}}"#)
            try await stack.change(drafts[2], "status = 'archived', deleted_at = now()")
            try await stack.relay().drain(within: .seconds(20))
            for draft in drafts { #expect(try await stack.version("beats", of: draft) == 2) }
            #expect(try await stack.mongoCount("search_index") == 1)
            _ = try await stack.rebuild().run()
            #expect(try await stack.mongoCount("search_index") == 1)
            try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 minute'")
            #expect(try await stack.mismatches() == [])

            try await stack.change(drafts[1], "status = 'published', published_at = now()")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.mongoCount("search_index", ["_id": .uuid(drafts[1].rawValue), "v": 3, "bpm": 101]) == 1)
            try await stack.change(drafts[1], "status = 'draft'")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.mongoCount("search_index", ["_id": .uuid(drafts[1].rawValue), "v": 4, "deleted": true]) == 1)
        }
    }

    @Test("A row that one has all the same, of a past that Postgres has lost, is found and becomes a tombstone")
    func lostPast() async throws {
        try await Stack.use { stack in
            let beats = try await stack.makeCatalogue(published: 2, drafts: 0).published
            try await stack.owner.run("UPDATE beats SET status = 'draft', published_at = NULL, updated_at = now() - interval '1 minute'")
            // An edit mends it by the way.
            try await stack.change(beats[0], "title = 'Other'")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.mongoCount("search_index", ["_id": .uuid(beats[0].rawValue), "v": 2, "deleted": true]) == 1)
            let found = try await stack.mismatches()
            #expect(found == [BeatMismatch(kind: .different, place: .searchIndex, id: beats[1], version: 1)])
            let verifier = BeatVerifier(postgres: stack.postgresAccess, mongo: stack.mongoAccess)
            for mismatch in found { try await verifier.repair(mismatch) }
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await stack.mongoCount("search_index", ["deleted": true]) == 2)
            #expect(try await stack.mismatches() == [])
        }
    }

    @Test("A delivery that comes late writes nothing that hides a beat, or shows one")
    func lateDeliveries() async throws {
        try await Stack.use { stack in
            let draft = try await stack.makeCatalogue(published: 0, drafts: 1).drafts[0]
            let projector = BeatProjector(postgres: stack.postgresAccess, mongo: stack.mongoAccess)
            let unpublished = try await projector.states([draft])
            try await stack.change(draft, "status = 'published', published_at = now()")
            let published = try await projector.states([draft])
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await projector.fill("search_index", with: unpublished) == [])
            #expect(try await stack.mongoCount("search_index", ["v": 2, "title": "Draft"]) == 1)
            try await stack.change(draft, "status = 'draft'")
            try await stack.relay().drain(within: .seconds(20))
            #expect(try await projector.fill("search_index", with: unpublished) == [])
            #expect(try await projector.fill("search_index", with: published) == [])
            #expect(try await stack.mongoCount("search_index", ["v": 3, "deleted": true]) == 1)
        }
    }
}
