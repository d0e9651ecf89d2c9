#if CRASH_POINTS
    import Glibc
    import Synchronization

    /// Kills the process where it was started with `KABABEAT_CRASH_AT=` this point: at once, without exit handlers, as `kill -9` does.
    /// `KABABEAT_CRASH_AT=relayAfterMongo:3` means the third time. Compiled in for debug builds only; a release build does nothing here,
    /// and refuses the variable as a setting that it does not know.
    public func crash(at point: CrashPoint) { Arming.ofProcess?.pass(point) }

    extension CrashPoint {
        /// The variable that arms a point; nil in a release build.
        public static let variable: String? = "KABABEAT_CRASH_AT"
    }

    /// The point that this process is to be killed at.
    private final class Arming: Sendable {
        static let ofProcess = Arming(CrashPoint.variable.flatMap { getenv($0) }.map { String(cString: $0) })

        private let point: CrashPoint
        private let left: Atomic<Int>

        /// Nil where nothing is armed. Ends the process where `text` names no point: a test must not pass for having armed none.
        private init?(_ text: String?) {
            guard let text, !text.isEmpty else { return nil }
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2, let point = CrashPoint(rawValue: String(parts[0])), let times = parts.count == 2 ? Int(parts[1]) : 1,
                times > 0
            else {
                Self.say("\(text) is no crash point")
                _exit(EX_USAGE)
            }
            self.point = point
            left = Atomic(times)
        }

        func pass(_ point: CrashPoint) {
            guard point == self.point, left.subtract(1, ordering: .relaxed).newValue == 0 else { return }
            Self.say("killed at \(point.rawValue)")
            kill(getpid(), SIGKILL)
            // Nothing runs on here, however long the signal takes.
            while true { pause() }
        }

        /// Straight to standard error: nothing that is buffered would arrive.
        private static func say(_ text: String) {
            _ = (text + "\n").utf8CString.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count - 1) }
        }
    }
#else
    /// Nothing, in a release build.
    @inlinable @inline(__always)
    public func crash(at point: CrashPoint) {}

    extension CrashPoint {
        public static var variable: String? { nil }
    }
#endif
