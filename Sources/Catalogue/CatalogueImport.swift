import Contract
import CrashPoints
import DataPlane
import Foundation
import MongoClient
import PostgresClient

/// Streams a catalogue into both databases. Memory does not grow with the file: one batch is read while another is written, and the
/// relay carries what is committed to MongoDB meanwhile.
public struct CatalogueImport: Sendable {
    /// Lines in one statement.
    private static let batch = 500
    /// Batches being written at once.
    private static let writers = 2

    /// How long the last batches may take to reach MongoDB after all lines are committed.
    private static let drainLimit = Duration.seconds(30)

    private let store: CatalogueStore
    private let audio: CatalogueAudio
    private let relay: OutboxRelay

    public init(postgres: PostgresClient, mongo: MongoClient, relay: OutboxRelay) {
        store = CatalogueStore(postgres: postgres)
        audio = CatalogueAudio(postgres: postgres, mongo: mongo)
        self.relay = relay
    }

    /// Imports `path`. `onInvalid` hears of each line that is skipped; nil stops at the first. `onProgress` is called after each batch.
    public func run(
        path: String, onInvalid: (@Sendable (_ number: Int, _ reason: String) -> Void)?, onProgress: @Sendable (CatalogueProgress) -> Void
    ) async throws(CatalogueError) -> CatalogueProgress {
        let reader = try LineReader(path: path)
        let delivery = Task { await relay.run() }
        do {
            let deadBefore = try await relay.deadLetters()
            let progress = try await importLines(reader, path, onInvalid, onProgress)
            await reader.finish()
            relay.stop()
            await delivery.value
            crash(at: .importBeforeDrain)
            try await relay.drain(within: Self.drainLimit)
            let refused = try await relay.deadLetters() - deadBefore
            guard refused <= 0 else { throw CatalogueError.refused(refused) }
            return progress
        } catch {
            await reader.finish()
            relay.stop()
            await delivery.value
            throw error as? CatalogueError ?? .stopped(by: error)
        }
    }

    private func importLines(
        _ reader: LineReader, _ path: String, _ onInvalid: (@Sendable (Int, String) -> Void)?,
        _ onProgress: @Sendable (CatalogueProgress) -> Void
    ) async throws -> CatalogueProgress {
        var progress = CatalogueProgress(size: reader.size)
        var parser = CatalogueParser(path: path)
        try await withThrowingTaskGroup(of: Void.self) { group in
            var writing = 0
            while true {
                let raw = try await reader.lines(Self.batch, longest: CatalogueLine.longestLine)
                if raw.isEmpty { break }
                let lines = try parser.parse(raw, onInvalid)
                // One batch after the other, so that the order of the lines alone decides who gets a name that two would have.
                let creators = try await creators(of: lines)
                if writing == Self.writers {
                    try await group.next()
                    writing -= 1
                }
                group.addTask { [folder = parser.folder] in try await write(lines, creators, folder) }
                writing += 1
                progress.lines += lines.count
                progress.skipped = parser.skipped
                progress.bytes = await reader.position
                onProgress(progress)
            }
            try await group.waitForAll()
        }
        return progress
    }

    private func creators(of lines: [CatalogueLine]) async throws -> [ExternalID: EntityID] {
        let creators = Dictionary(lines.map { ($0.creator.externalID, $0.creator) }) { first, _ in first }
        let ids = try await store.ensure(Array(creators.values))
        if let nameless = creators.values.first(where: { ids[$0.externalID] == nil }) {
            throw CatalogueError.nameless(creator: "\(nameless.externalID.source):\(nameless.externalID.name)")
        }
        return ids
    }

    private func write(_ lines: [CatalogueLine], _ creators: [ExternalID: EntityID], _ folder: String) async throws {
        var complete: [CatalogueLine] = []
        for line in lines { complete.append(try await audio.store(line, in: folder)) }
        crash(at: .importInChunk)
        try await store.upsert(complete, creators: creators)
        crash(at: .importAfterChunk)
        relay.poke()
    }
}
