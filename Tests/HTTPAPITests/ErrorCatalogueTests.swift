import Contract
import Foundation
import HTTPAPI
import HTTPTypes
import HTTPTypes
import Testing

@Suite struct ErrorCatalogueTests {
    /// The status by code, of each row of the table in `docs/errors.md`.
    private static func documented() throws -> [String: Int] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/errors.md")
        var statuses: [String: Int] = [:]
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " `")) }
            #expect(statuses.updateValue(try #require(Int(cells[1])), forKey: cells[0]) == nil, "\(cells[0]) stands twice")
        }
        return statuses
    }

    @Test func theCatalogueListsEveryCodeWithItsStatusAndNoOther() throws {
        let coded = Problem.Code.allCases.map { ($0.rawValue, ProblemMapper.status($0).code) }
        #expect(try Self.documented() == Dictionary(uniqueKeysWithValues: coded))
    }

    @Test func everyCodeHasATitleOfItsOwn() {
        let titles = Problem.Code.allCases.map { String(describing: ProblemMapper.title($0)) }
        #expect(Set(titles).count == Problem.Code.allCases.count)
    }
}
