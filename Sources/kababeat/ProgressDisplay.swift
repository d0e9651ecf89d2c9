import Foundation
import Synchronization

/// Shows how far a long piece of work has come: a bar with rate and time left on a terminal, a plain line every two seconds elsewhere.
final class ProgressDisplay: Sendable {
    private struct State {
        var shown = ContinuousClock.now
        var isDirty = false
    }

    private let start = ContinuousClock.now
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let unit: String
    private let state = Mutex(State())

    /// `unit` is what is counted, in the plural.
    init(unit: String) { self.unit = unit }

    /// `fraction` may be above 1 where there was more to do than was known.
    func update(count: Int, fraction: Double) {
        let fraction = min(max(fraction, 0), 1)
        state.withLock { state in
            guard ContinuousClock.now - state.shown > (isTerminal ? .milliseconds(100) : .seconds(2)) else { return }
            state.shown = .now
            state.isDirty = true
            let elapsed = Double((ContinuousClock.now - start).components.seconds) + 0.001
            let rate = Int(Double(count) / max(elapsed, 1))
            let left = fraction > 0 ? Int(elapsed / fraction * (1 - fraction)) : 0
            let numbers = "\(Int(fraction * 100)) %  \(count) \(unit)  \(rate)/s  \(left) s left"
            if isTerminal {
                let width = 30
                let filled = Int(fraction * Double(width))
                write("\r[\(String(repeating: "=", count: filled))\(String(repeating: " ", count: width - filled))] \(numbers)\u{1B}[K")
            } else {
                write(numbers + "\n")
            }
        }
    }

    /// A line of its own, above the bar.
    func line(_ text: String) {
        state.withLock { _ in write((isTerminal ? "\r\u{1B}[K" : "") + text + "\n") }
    }

    func finish() {
        state.withLock { state in if isTerminal, state.isDirty { write("\r\u{1B}[K") } }
    }

    private func write(_ text: String) {
        FileHandle.standardError.write(Data(text.utf8))
    }
}
