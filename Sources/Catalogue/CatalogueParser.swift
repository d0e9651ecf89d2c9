import Contract
import Foundation
import JSON

/// Turns raw lines of one file into checked ones, batch by batch.
struct CatalogueParser {
    let path: String
    /// Where the originals lie.
    let folder: String
    private(set) var skipped = 0
    /// Fingerprints of the external ids so far: about 32 bytes of memory a line, and all that grows with the file.
    private var seen: Set<UInt128> = []
    private let decoder = JSONDecoder()

    init(path: String) {
        self.path = path
        folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    }

    /// `onInvalid` hears of each line that is skipped; where it is nil, the first one is thrown.
    mutating func parse(
        _ raw: [LineReader.Line], _ onInvalid: (@Sendable (_ number: Int, _ reason: String) -> Void)?
    ) throws(CatalogueError) -> [CatalogueLine] {
        var lines: [CatalogueLine] = []
        for line in raw {
            do throws(LineProblem) { lines.append(try parse(line)) } catch {
                guard let onInvalid else { throw .invalidLine(path: path, number: line.number, reason: error.reason) }
                onInvalid(line.number, error.reason)
                skipped += 1
            }
        }
        return lines
    }

    private mutating func parse(_ line: LineReader.Line) throws(LineProblem) -> CatalogueLine {
        guard line.bytes.count <= CatalogueLine.longestLine else {
            throw LineProblem(reason: "is longer than \(CatalogueLine.longestLine) bytes")
        }
        let parsed = try CatalogueLine(json: line.bytes, decoder: decoder)
        if let file = parsed.audioFile { try CatalogueAudio.check(file, in: folder) }
        guard seen.insert(parsed.externalID.fingerprint).inserted else {
            throw LineProblem(reason: "externalId stands on an earlier line too")
        }
        return parsed
    }
}

extension ExternalID {
    /// Two digests of 64 bits.
    var fingerprint: UInt128 {
        let text = "\(source):\(name)"
        return UInt128(Digest(text).value) << 64 | UInt128(Digest("media\n" + text).value)
    }
}
