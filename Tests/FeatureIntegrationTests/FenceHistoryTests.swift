import Contract
import JSON
import MongoClient
import PostgresClient
import TestSupport
import Testing

@testable import Beats
@testable import DataPlane

/// Random histories of a few beats, in real stores, beside a model that is a plain table: writes, and deliveries that come twice, late, from
/// two relays at once, from relays that die with the lease in their hands.
@Suite(.timeLimit(.minutes(5))) struct FenceHistoryTests {
    /// A beat as it has to be in the end.
    private struct Model {
        var version: Int64 = 1
        var title: String
        var bpm: Int
        var isPublished = true
        var isDeleted = false
    }

    /// A beat as a copy shows it.
    struct Copy: Equatable {
        let version: Int64
        let isTombstone: Bool
        let title: String?
        let bpm: Double?
    }

    /// What a relay has read and not yet written.
    private struct Late {
        let state: BeatState
        let content: BeatContentDocument?
        let facts: SearchFacts
    }

    private enum Step: CaseIterable {
        case title, content, standing, delete, again, read, write, die, expire, deliver, deliverTwice, deliverWithoutMongo
    }

    /// How often each step is taken, of a hundred.
    private static let steps: [Step] = [
        (.title, 14), (.content, 14), (.standing, 9), (.delete, 1), (.again, 6), (.read, 14), (.write, 14), (.die, 6), (.expire, 6),
        (.deliver, 10), (.deliverTwice, 5), (.deliverWithoutMongo, 1),
    ].flatMap { step, count in Array(repeating: step, count: count) }

    @Test func whateverTheOrderOfDeliveriesCopiesNeverGoBackAndEndAsTheRowsAre() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            try await Self.history(stack, &random)
        }
    }

    private static func history(_ stack: Stack, _ random: inout SeededGenerator) async throws {
        let seed = random.description
        var models: [EntityID: Model] = [:]
        for number in 0..<6 { models[try await stack.makeBeat(number)] = Model(title: "Beat \(number)", bpm: 100 + number) }
        let beats = models.keys.sorted()
        let projector = BeatProjector(
            postgres: PostgresAccess(stack.postgres, observer: stack.recorder), mongo: MongoAccess(stack.mongo, observer: stack.recorder))
        var late: [Late] = []
        var shown: [String: [EntityID: Int64]] = [:]
        for number in 0..<220 {
            let beat = random.element(of: beats)
            let step = random.element(of: steps)
            switch step {
            case .title, .content, .standing, .delete: try await change(beat, step, number, &models, stack)
            case .again:
                try await stack.owner.run(
                    "INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) VALUES ('beat', '\(beat)', 1, 'upsert')")
            case .read: late += try await read(beat, projector, stack)
            case .write: if !late.isEmpty { try await write(random.element(of: late), stack) }
            case .die:
                try await stack.owner.run(
                    """
                    UPDATE outbox SET claim_token = gen_random_uuid(), claimed_until = now() + interval '30 seconds'
                    WHERE aggregate_id = '\(beat)'
                    """)
            case .expire: try await expire(stack)
            case .deliver: try? await stack.relay().drain(within: .zero)
            case .deliverTwice:
                async let one: Void? = try? stack.relay().drain(within: .zero)
                async let other: Void? = try? stack.relay().drain(within: .zero)
                _ = await (one, other)
            case .deliverWithoutMongo:
                let mongo = try stack.absentMongo()
                try? await stack.relay(mongo: mongo).drain(within: .zero)
                await mongo.shutdown()
            }
            for collection in ["beats", "search_index"] {
                let copies = try await copies(collection, stack)
                for (beat, copy) in copies {
                    guard let model = models[beat] else { continue }
                    #expect(copy.version >= shown[collection]?[beat] ?? 0 && copy.version <= model.version, "\(seed), step \(number)")
                    shown[collection, default: [:]][beat] = copy.version
                }
            }
        }
        try await expire(stack)
        try await stack.makeDue()
        try await stack.relay().drain(within: .seconds(30))
        // What was read before all of that may still be written after it.
        for one in late { try await write(one, stack) }
        try await compare(models, stack, seed)
        #expect(try await stack.count("outbox") == 0, "\(seed)")
        #expect(try await stack.count("beat_content_staged") == 0, "\(seed)")
    }

    // MARK: Steps

    private static func change(
        _ beat: EntityID, _ step: Step, _ number: Int, _ models: inout [EntityID: Model], _ stack: Stack
    ) async throws {
        guard var model = models[beat], !model.isDeleted else { return }
        model.version += 1
        switch step {
        case .title:
            model.title = "Title \(number)"
            try await stack.change(beat, "title = '\(model.title)'")
        case .content:
            model.bpm = 20 + number
            try await stack.change(beat, "title = title", content: #"{"metadata": {"bpm": \#(model.bpm)}}"#)
        case .standing:
            model.isPublished.toggle()
            try await stack.change(beat, "status = '\(model.isPublished ? "published" : "draft")'")
        default:
            model.isDeleted = true
            model.isPublished = false
            try await stack.change(beat, "status = 'archived', deleted_at = now()")
        }
        models[beat] = model
    }

    static func expire(_ stack: Stack) async throws {
        try await stack.owner.run("UPDATE outbox SET claimed_until = now() - interval '1 second' WHERE claimed_until IS NOT NULL")
    }

    private static func read(_ beat: EntityID, _ projector: BeatProjector, _ stack: Stack) async throws -> [Late] {
        let known = try await stack.mongo.run(deadline: Stack.soon) { session in
            try session.findOne("beats", ["_id": .uuid(beat.rawValue)])?.withView { SearchFacts($0) }
        }
        return try await projector.states([beat]).map { state in
            let content = try state.staged.map { try BeatContentDocument(stagedJSON: $0) }
            return Late(state: state, content: content, facts: content.map { SearchFacts($0) } ?? known ?? SearchFacts())
        }
    }

    private struct Refused: Error {}

    private static func write(_ late: Late, _ stack: Stack) async throws {
        try await stack.mongo.run(deadline: Stack.soon) { session in
            for (collection, write) in [
                ("beats", BeatDocuments.contentWrite(late.state, late.content)),
                ("search_index", BeatDocuments.indexWrite(late.state, late.facts)),
            ] {
                let result = try session.bulkWrite(collection, [write])
                guard result.failures.allSatisfy({ $0.code == .duplicateKey }) else { throw Refused() }
            }
        }
    }

    // MARK: Looking

    static func copies(_ collection: String, _ stack: Stack) async throws -> [EntityID: Copy] {
        try await stack.mongo.run(deadline: Stack.soon) { session in
            var copies: [EntityID: Copy] = [:]
            try session.find(collection, [:]) { document in
                copies[EntityID(rawValue: try document.uuid("_id"))] = Copy(
                    version: try document.int64("v"), isTombstone: document.boolOrNil("deleted") == true,
                    title: document.stringOrNil("title"),
                    bpm: document.doubleOrNil(collection == "beats" ? "metadata.bpm" : "bpm"))
            }
            return copies
        }
    }

    private static func compare(_ models: [EntityID: Model], _ stack: Stack, _ seed: String) async throws {
        let (contents, index) = (try await copies("beats", stack), try await copies("search_index", stack))
        for (beat, model) in models {
            let content = try #require(contents[beat], "\(seed)")
            #expect(content.version == model.version && content.isTombstone == model.isDeleted, "\(seed)")
            if !model.isDeleted { #expect(content.bpm == Double(model.bpm), "\(seed)") }
            let row = Copy(
                version: model.version, isTombstone: !model.isPublished, title: model.isPublished ? model.title : nil,
                bpm: model.isPublished ? Double(model.bpm) : nil)
            #expect(index[beat] == row, "\(seed)")
        }
    }
}
