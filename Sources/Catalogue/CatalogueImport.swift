import Contract
import DataPlane
import Foundation
import MongoClient
import PostgresClient

public enum CatalogueError: Error, Sendable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    case invalidLine(path: String, number: Int, reason: String)
    case store(String)

    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
        case .invalidLine(let path, let number, let reason):
            "\(path):\(number): \(reason)\nNothing of this line was imported. Correct it, or pass --skip-invalid to go on without such lines."
        case .store(let reason): "the import stopped: \(reason)\nRun it again: what is there already is not written twice."
        }
    }
}

/// What an import has done so far, for progress and for the last line.
public struct CatalogueProgress: Sendable {
    public var lines = 0
    public var skipped = 0
    public var bytes: Int64 = 0
    public var size: Int64 = 0
}

/// Streams a catalogue into both databases. Memory does not grow with the file: one batch is read while another is written, and the
/// relay carries what is committed to MongoDB meanwhile.
public struct CatalogueImport: Sendable {
    /// Lines in one statement.
    private static let batch = 500
    /// Batches being written at once.
    private static let writers = 2

    /// How long the last batches may take to reach MongoDB after all lines are committed.
    private static let drainLimit = Duration.seconds(60)

    private let store: CatalogueStore
    private let audio: CatalogueAudio
    private let relay: OutboxRelay

    public init(postgres: PostgresClient, mongo: MongoClient, relay: OutboxRelay) {
        store = CatalogueStore(postgres: postgres)
        audio = CatalogueAudio(mongo: mongo)
        self.relay = relay
    }

    /// Imports `path`. `onInvalid` hears of each line that is skipped; nil stops at the first. `onProgress` is called after each batch.
    public func run(
        path: String, onInvalid: (@Sendable (_ number: Int, _ reason: String) -> Void)?, onProgress: @Sendable (CatalogueProgress) -> Void
    ) async throws(CatalogueError) -> CatalogueProgress {
        let reader = try LineReader(path: path)
        let delivery = Task { await relay.run() }
        do {
            let progress = try await importLines(reader, path, onInvalid, onProgress)
            await reader.finish()
            relay.stop()
            await delivery.value
            try await relay.drain(within: Self.drainLimit)
            return progress
        } catch {
            await reader.finish()
            relay.stop()
            await delivery.value
            throw error as? CatalogueError ?? .store(Self.describe(error))
        }
    }

    private static func describe(_ error: any Error) -> String {
        switch error {
        case let problem as Problem: problem.detail + (problem.missing.isEmpty ? "" : " (\(problem.missing.map(\.rawValue).joined(separator: ", ")))")
        case let error as PostgresError: error.debugDescription
        case let error as MongoError: error.debugDescription
        default: String(describing: error)
        }
    }

    private func importLines(
        _ reader: LineReader, _ path: String, _ onInvalid: (@Sendable (Int, String) -> Void)?,
        _ onProgress: @Sendable (CatalogueProgress) -> Void
    ) async throws -> CatalogueProgress {
        var progress = CatalogueProgress(size: reader.size)
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        try await withThrowingTaskGroup(of: Void.self) { group in
            var writing = 0
            while true {
                let raw = try await reader.lines(Self.batch, longest: CatalogueLine.longestLine)
                if raw.isEmpty { break }
                let lines = try Self.parse(raw, path, onInvalid, &progress)
                if writing == Self.writers {
                    try await group.next()
                    writing -= 1
                }
                group.addTask { try await write(lines, folder) }
                writing += 1
                progress.lines += lines.count
                progress.bytes = await reader.position
                onProgress(progress)
            }
            try await group.waitForAll()
        }
        return progress
    }

    private static func parse(
        _ raw: [LineReader.Line], _ path: String, _ onInvalid: (@Sendable (Int, String) -> Void)?, _ progress: inout CatalogueProgress
    ) throws(CatalogueError) -> [CatalogueLine] {
        let decoder = JSONDecoder()
        var lines: [CatalogueLine] = []
        var seen: Set<ExternalID> = []
        for line in raw {
            do throws(LineProblem) {
                guard line.bytes.count <= CatalogueLine.longestLine else {
                    throw LineProblem(reason: "is longer than \(CatalogueLine.longestLine) bytes")
                }
                let parsed = try CatalogueLine(json: line.bytes, decoder: decoder)
                guard seen.insert(parsed.externalID).inserted else { throw LineProblem(reason: "externalId stands on an earlier line too") }
                lines.append(parsed)
            } catch {
                guard let onInvalid else { throw .invalidLine(path: path, number: line.number, reason: error.reason) }
                onInvalid(line.number, error.reason)
                progress.skipped += 1
            }
        }
        return lines
    }

    private func write(_ lines: [CatalogueLine], _ folder: String) async throws {
        let creators = Dictionary(lines.map { ($0.creator.externalID, $0.creator) }) { first, _ in first }
        let ids = try await store.ensure(creators.values.sorted { ($0.externalID.source, $0.externalID.name) < ($1.externalID.source, $1.externalID.name) })
        var complete: [CatalogueLine] = []
        for line in lines { complete.append(try await audio.store(line, in: folder)) }
        try await store.upsert(complete, creators: ids)
        relay.poke()
    }
}
