import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Catalogue

/// A folder of a test's own, gone with it.
private func withFolder<T>(_ body: (String) async throws -> T) async throws -> T {
    let folder = FileManager.default.temporaryDirectory.appending(path: "catalogue-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try await body(folder)
}

private func line(_ number: Int, title: String = "T", more: String = "") -> String {
    #"{"externalId":"s:\#(number)","creator":{"externalId":"s:c","displayName":"C"},"title":"\#(title)"\#(more)}"#
}

@Suite struct CatalogueParserTests {
    private func raw(_ lines: [String]) -> [LineReader.Line] {
        lines.enumerated().map { LineReader.Line(number: $0.offset + 1, bytes: Array($0.element.utf8)) }
    }

    @Test func theFirstInvalidLineStopsWithFileLineAndReason() throws {
        var parser = CatalogueParser(path: "/somewhere/beats.ndjson")
        let error = #expect(throws: CatalogueError.self) { try parser.parse(raw([line(1), line(2, title: ""), "x"]), nil) }
        let text = try #require(error?.description)
        #expect(text.hasPrefix("/somewhere/beats.ndjson:2: title must have 1 to 255 characters\n"))
    }

    @Test func linesThatAreSkippedAreToldAndCounted() throws {
        var parser = CatalogueParser(path: "/somewhere/beats.ndjson")
        let told = Mutex<[String]>([])
        let lines = try parser.parse(raw([line(1), "x", line(2), line(1), line(3, more: #","y":1"#)])) { number, reason in
            told.withLock { $0.append("\(number): \(reason)") }
        }
        #expect(lines.map(\.externalID.name) == ["1", "2"])
        #expect(told.withLock { $0 } == ["2: is not JSON", "4: externalId stands on an earlier line too", "5: y is not known"])
        #expect(parser.skipped == 3)
    }

    @Test func anExternalIdThatStoodInAnEarlierBatchIsFoundToo() throws {
        var parser = CatalogueParser(path: "/x")
        _ = try parser.parse(raw([line(1)]), nil)
        #expect(throws: CatalogueError.self) { try parser.parse(raw([line(1, title: "Other")]), nil) }
    }

    @Test func aLineThatIsTooLongIsRefusedUnread() throws {
        var parser = CatalogueParser(path: "/x")
        let long = [LineReader.Line(number: 9, bytes: Array(repeating: UInt8(ascii: "["), count: CatalogueLine.longestLine + 1))]
        let error = #expect(throws: CatalogueError.self) { try parser.parse(long, nil) }
        #expect(error?.description.hasPrefix("/x:9: is longer than 262144 bytes\n") == true)
    }

    @Test func originalsLieBelowTheCatalogueAndAreFiles() async throws {
        try await withFolder { folder in
            let files = FileManager.default
            try files.createDirectory(atPath: folder + "/in/audio", withIntermediateDirectories: true)
            try "sound".write(toFile: folder + "/in/audio/a.wav", atomically: true, encoding: .utf8)
            try "secret".write(toFile: folder + "/outside", atomically: true, encoding: .utf8)
            try files.createSymbolicLink(atPath: folder + "/in/link", withDestinationPath: folder + "/outside")
            try files.createSymbolicLink(atPath: folder + "/in/inner", withDestinationPath: folder + "/in/audio/a.wav")
            var parser = CatalogueParser(path: folder + "/in/beats.ndjson")
            let names = ["audio/a.wav", "inner", "link", "audio", "missing"]
            let told = Mutex<[String]>([])
            let lines = try parser.parse(
                raw(names.enumerated().map { line($0.offset, more: #","audio":{"format":"wav","file":"\#($0.element)"}"#) })
            ) {
                number, reason in told.withLock { $0.append("\(number): \(reason)") }
            }
            #expect(lines.map(\.audioFile) == ["audio/a.wav", "inner"])
            #expect(
                told.withLock { $0 } == [
                    "3: audio.file must lie below the catalogue's folder", "4: audio.file is no regular file of at most 512 MiB",
                    "5: audio.file is no regular file of at most 512 MiB",
                ])
        }
    }
}

@Suite struct LineReaderTests {
    @Test func linesKeepTheirNumbersWhateverEndsThem() async throws {
        try await withFolder { folder in
            let path = folder + "/lines"
            try Data("one\r\n\n  \ntwo\n\t\nthree".utf8).write(to: URL(fileURLWithPath: path))
            let reader = try LineReader(path: path)
            var lines: [LineReader.Line] = []
            while true {
                let more = try await reader.lines(1, longest: 100)
                if more.isEmpty { break }
                lines += more
            }
            #expect(lines.map(\.number) == [1, 4, 6])
            #expect(lines.map { String(decoding: $0.bytes, as: UTF8.self) } == ["one\r", "two", "three"])
            #expect(await reader.position == reader.size)
            await reader.finish()
        }
    }

    @Test func aLineLongerThanTheLimitIsCutAndTheNextOneIsWhole() async throws {
        var random = SeededGenerator()
        try await withFolder { folder in
            let path = folder + "/lines"
            let lengths = (0..<40).map { _ in random.element(of: [1, 50, 99, 100, 101, 102, 201, 5000, 300_000, 700_000]) }
            let text = lengths.map { String(repeating: "x", count: $0) }.joined(separator: "\n")
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            let reader = try LineReader(path: path)
            var read: [Int] = []
            while true {
                let more = try await reader.lines(7, longest: 100)
                if more.isEmpty { break }
                read += more.map(\.bytes.count)
            }
            #expect(read == lengths.map { min($0, 101) }, "\(random)")
            await reader.finish()
        }
    }

    @Test func aReaderThatIsFinishedTwiceGivesItsFileBackOnce() async throws {
        try await withFolder { folder in
            let path = folder + "/lines"
            try Data("one\n".utf8).write(to: URL(fileURLWithPath: path))
            let reader = try LineReader(path: path)
            await reader.finish()
            // It has the number that the reader's file had, unless another test was faster.
            let other = open(path, O_RDONLY | O_CLOEXEC)
            defer { close(other) }
            await reader.finish()
            #expect(fcntl(other, F_GETFD) >= 0)
        }
    }

    @Test func whatIsNoFileIsSaidSo() async throws {
        try await withFolder { folder in
            let directory = #expect(throws: CatalogueError.self) { try LineReader(path: folder) }
            #expect(directory?.description == "cannot read \(folder): not a regular file")
            let missing = #expect(throws: CatalogueError.self) { try LineReader(path: folder + "/none") }
            #expect(missing?.description == "cannot read \(folder)/none: No such file or directory")
        }
    }
}
