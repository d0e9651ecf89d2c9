import Glibc
import Reactor

/// Reads a file line by line, in batches. It blocks, so it has a thread of its own, and reads no further than it is asked to.
actor LineReader {
    struct Line: Sendable {
        let number: Int
        let bytes: [UInt8]
    }

    private let thread = Reactor(name: "catalogue")
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var number = 0
    private var isAtEnd = false
    private var isFinished = false

    /// Bytes read so far and in all, for progress.
    private(set) var position: Int64 = 0
    let size: Int64

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// Throws where the file cannot be opened.
    init(path: String) throws(CatalogueError) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            let reason = descriptor < 0 ? String(cString: strerror(errno)) : "not a regular file"
            if descriptor >= 0 { close(descriptor) }
            thread.shutdown()
            throw .unreadable(path: path, reason: reason)
        }
        size = Int64(status.st_size)
    }

    /// Up to `count` lines that are not blank; empty at the end of the file. A line longer than `longest` comes cut to one byte more.
    func lines(_ count: Int, longest: Int) throws(CatalogueError) -> [Line] {
        var lines: [Line] = []
        while lines.count < count, let bytes = try nextLine(longest) {
            number += 1
            if bytes.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\t") }) {
                lines.append(Line(number: number, bytes: bytes))
            }
        }
        return lines
    }

    /// Gives the file back. Nothing is read from then on, and a second call does nothing: the number may be another file's by then.
    func finish() {
        guard !isFinished else { return }
        isFinished = true
        close(descriptor)
        thread.shutdown()
    }

    private func nextLine(_ longest: Int) throws(CatalogueError) -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                return Array(buffer[start..<min(end, start + longest + 1)])
            }
            if isAtEnd {
                guard start < buffer.count else { return nil }
                defer { start = buffer.count }
                return Array(buffer[start..<min(buffer.count, start + longest + 1)])
            }
            // What is past the longest line will only be reported, so it need not be kept.
            if buffer.count - start > 2 * longest { buffer.removeSubrange((start + longest + 1)..<buffer.count) }
            buffer.removeSubrange(..<start)
            start = 0
            searched = buffer.count
            try fill()
        }
    }

    private func fill() throws(CatalogueError) {
        let capacity = 1 << 18
        let count = withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 16) { chunk in
            let count = Glibc.read(descriptor, chunk.baseAddress, capacity)
            if count > 0 { buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: chunk[..<count])) }
            return count
        }
        guard count >= 0 else { throw .unreadable(path: "the catalogue", reason: String(cString: strerror(errno))) }
        isAtEnd = count == 0
        position += Int64(count)
    }
}
