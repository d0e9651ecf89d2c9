import Contract
import Foundation

extension BeatContentDocument {
    /// As it is staged in Postgres, and read back from there. The same content has the same text. Throws where a number is not finite.
    public func stagedJSON() throws(Problem) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return String(decoding: try encoder.encode(self), as: UTF8.self) } catch { throw .unexpected }
    }

    /// Throws where the text is not what `stagedJSON` writes.
    public init(stagedJSON text: String) throws(Problem) {
        do { self = try JSONDecoder().decode(BeatContentDocument.self, from: Data(text.utf8)) } catch { throw .unexpected }
    }
}
