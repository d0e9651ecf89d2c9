import Contract
import MongoClient
import PostgresClient
import TestSupport
import Testing

@testable import Beats
@testable import DataPlane

/// Postgres has lost its last versions, as with an asynchronous standby that took over or a backup that was restored, and goes on: what is
/// written then is delivered, though copies of the lost versions have the same numbers, or higher ones.
@Suite("A past that Postgres has lost", .timeLimit(.minutes(5)))
struct LostPastTests {
    /// Takes Postgres back to how it was when `body` began.
    private static func losing(_ stack: Stack, _ body: () async throws -> Void) async throws {
        try await backUp(stack)
        try await body()
        try await restore(stack)
    }

    private static func backUp(_ stack: Stack) async throws {
        try await stack.owner.run(
            """
            DROP TABLE IF EXISTS past_beats, past_staged, past_outbox;
            CREATE TABLE past_beats AS TABLE beats;
            CREATE TABLE past_staged AS TABLE beat_content_staged;
            CREATE TABLE past_outbox AS TABLE outbox
            """)
    }

    private static func restore(_ stack: Stack) async throws {
        try await stack.owner.run(
            """
            UPDATE beats SET version = past.version, content_version = past.content_version, title = past.title, status = past.status,
                published_at = past.published_at, deleted_at = past.deleted_at, updated_at = past.updated_at
            FROM past_beats AS past WHERE past.id = beats.id;
            TRUNCATE beat_content_staged, outbox;
            INSERT INTO beat_content_staged SELECT * FROM past_staged;
            INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM past_outbox
            """)
    }

    /// An edit of the content as the gateway stages it, with its entry for the history.
    private static func edit(_ beat: EntityID, bpm: Int, _ stack: Stack) async throws {
        try await stack.change(beat, "content_version = version + 1", content: #"{"metadata": {"bpm": \#(bpm)}}"#)
        try await stack.owner.run(
            """
            UPDATE beat_content_staged SET changes = changes || jsonb_build_array(
                jsonb_build_object('v', version, 'text', 'bpm \(bpm)', 'by', beat_id, 'at', 1700000000000 + \(bpm)))
            WHERE beat_id = '\(beat)'
            """)
    }

    private static func deliver(_ stack: Stack) async throws { try await stack.relay().drain(within: .seconds(20)) }

    private static func mismatches(_ stack: Stack) async throws -> [BeatMismatch] {
        try await stack.owner.run("UPDATE beats SET updated_at = now() - interval '1 hour'")
        let found = Recorded()
        try await BeatVerifier(postgres: stack.postgresAccess, mongo: stack.mongoAccess).run { mismatch throws(Problem) in
            await found.add(mismatch)
        }
        return await found.mismatches
    }

    private actor Recorded {
        var mismatches: [BeatMismatch] = []
        func add(_ mismatch: BeatMismatch) { mismatches.append(mismatch) }
    }

    @Test(
        "Content that is written anew under a version that was lost, below one or past it, replaces it everywhere, and is told of",
        arguments: [(1, 1), (3, 3), (5, 2), (1, 3)])
    func content(lost: Int, written: Int) async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            try await Self.deliver(stack)
            try await Self.losing(stack) {
                for number in 1...lost {
                    try await Self.edit(beat, bpm: 200 + number, stack)
                    try await Self.deliver(stack)
                }
            }
            for number in 1...written { try await Self.edit(beat, bpm: 100 + number, stack) }
            try await Self.deliver(stack)
            #expect(try await stack.count("outbox") + stack.count("beat_content_staged") == 0)
            let version = try #require(try await stack.texts("SELECT version::text FROM beats").first.flatMap { Int64($0) })
            #expect(version > Int64(1 + lost))
            for collection in ["beats", "search_index"] {
                let copy = try #require(try await FenceHistoryTests.copies(collection, stack)[beat])
                #expect(copy.version == version && copy.bpm == Double(100 + written))
            }
            let history = BeatHistory(mongo: stack.mongoAccess, timeout: .seconds(5))
            let changes = try await history.changes(of: beat, below: version + 1, limit: 100)
            #expect(changes.prefix(written).map(\.text) == (1...written).reversed().map { "bpm \(100 + $0)" })
            #expect(try await Self.mismatches(stack) == [])
        }
    }

    @Test(
        "Whatever was lost and whatever is done under its version, both copies end as the row is",
        arguments: ["title = 'Lost'", "status = 'draft'", "status = 'archived', deleted_at = now()"],
        ["title = 'New'", "status = 'draft'", "status = 'archived', deleted_at = now()"])
    func standing(lost: String, new: String) async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            try await Self.deliver(stack)
            try await Self.losing(stack) {
                try await stack.change(beat, lost)
                try await Self.deliver(stack)
            }
            try await stack.change(beat, new)
            try await Self.deliver(stack)
            #expect(try await Self.mismatches(stack) == [])
            #expect(try await stack.count("outbox") == 0)
            // What says the same is the same.
            let version = try await stack.texts("SELECT version::text FROM beats")
            #expect(version == (lost == new ? ["2"] : ["3"]))
            let isReported = stack.recorder.all.contains { if case .mismatch = $0 { true } else { false } }
            #expect(isReported == (lost != new))
        }
    }

    @Test("A delivery that is made twice is taken for nothing else: no version is made for it, and what was staged goes")
    func twice() async throws {
        try await Stack.use { stack in
            let beat = try await stack.makeBeat(1)
            try await Self.deliver(stack)
            for step in 0..<4 {
                try await Self.edit(beat, bpm: 100 + step, stack)
                if step > 1 { try await stack.change(beat, step == 2 ? "status = 'draft'" : "status = 'archived', deleted_at = now()") }
                // As often as one dies between MongoDB and Postgres.
                try await Self.backUp(stack)
                try await Self.deliver(stack)
                try await Self.restore(stack)
                async let one: Void = Self.deliver(stack)
                async let other: Void = Self.deliver(stack)
                _ = try await (one, other)
                #expect(try await stack.count("outbox") + stack.count("beat_content_staged") == 0)
            }
            #expect(try await stack.texts("SELECT version::text FROM beats") == ["7"])
            #expect(!stack.recorder.all.contains { if case .mismatch = $0 { true } else { false } })
        }
    }

    // MARK: Histories

    private struct Model {
        var title: String
        /// The contents that it may have: one, unless some of them were lost.
        var bpms: Set<Int>
        var isPublished = true
        var isDeleted = false
    }

    @Test("Whatever is lost and whenever, what is written afterwards is in both copies in the end")
    func histories() async throws {
        try await Stack.use { stack in
            var random = SeededGenerator()
            let seed = random.description
            var models: [EntityID: Model] = [:]
            for number in 0..<5 { models[try await stack.makeBeat(number)] = Model(title: "Beat \(number)", bpms: [100 + number]) }
            let beats = models.keys.sorted()
            var (past, lost): ([EntityID: Model], [EntityID: Set<Int>]) = (models, [:])
            try await Self.backUp(stack)
            for number in 0..<160 {
                let beat = random.element(of: beats)
                guard var model = models[beat] else { continue }
                switch Int.random(in: 0..<100, using: &random) {
                case 0..<25 where !model.isDeleted:
                    model.title = "Title \(number)"
                    try await stack.change(beat, "title = '\(model.title)'")
                case 25..<50 where !model.isDeleted:
                    model.bpms = [20 + number]
                    lost[beat, default: []].insert(20 + number)
                    try await Self.edit(beat, bpm: 20 + number, stack)
                case 50..<60 where !model.isDeleted:
                    model.isPublished.toggle()
                    try await stack.change(beat, "status = '\(model.isPublished ? "published" : "draft")'")
                case 60..<61 where !model.isDeleted:
                    (model.isDeleted, model.isPublished) = (true, false)
                    try await stack.change(beat, "status = 'archived', deleted_at = now()")
                case 61..<80: try? await stack.relay().drain(within: .zero)
                case 80..<90:
                    async let one: Void? = try? stack.relay().drain(within: .zero)
                    async let other: Void? = try? stack.relay().drain(within: .zero)
                    _ = await (one, other)
                case 90..<95:
                    try await Self.backUp(stack)
                    (past, lost) = (models, [:])
                case 95..<99:
                    try await Self.restore(stack)
                    for (beat, model) in past { past[beat]?.bpms = model.bpms.union(lost[beat] ?? []) }
                    models = past
                    continue
                default: break
                }
                models[beat] = model
            }
            for (beat, model) in models where !model.isDeleted {
                models[beat]?.title = "Last"
                try await stack.change(beat, "title = 'Last'")
            }
            try await FenceHistoryTests.expire(stack)
            try await stack.makeDue()
            try await Self.deliver(stack)
            let (contents, index) = (
                try await FenceHistoryTests.copies("beats", stack), try await FenceHistoryTests.copies("search_index", stack)
            )
            for (beat, model) in models {
                let version = try await stack.texts("SELECT version::text FROM beats WHERE id = '\(beat)'").first.flatMap { Int64($0) }
                let (content, row) = (try #require(contents[beat], "\(seed)"), try #require(index[beat], "\(seed)"))
                #expect(content.version == version && content.isTombstone == model.isDeleted, "\(seed)")
                #expect(row.version == version && row.isTombstone == !model.isPublished, "\(seed)")
                #expect(row.title == (model.isPublished ? model.title : nil), "\(seed)")
                #expect(model.isDeleted || content.bpm.map { model.bpms.contains(Int($0)) } == true, "\(seed): \(content)")
            }
            #expect(try await stack.count("outbox") + stack.count("beat_content_staged") == 0, "\(seed)")
            #expect(try await Self.mismatches(stack) == [], "\(seed)")
        }
    }
}
