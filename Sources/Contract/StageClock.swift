/// How long each stage of one read took, for the `Server-Timing` header.
public struct StageClock: Sendable {
    /// `parse → authorise → plan → fetch → merge → respond`; the last is what the edge does after the handler.
    public enum Stage: Int, Sendable, CaseIterable {
        case parse, authorise, plan, fetch, merge, respond

        public var name: StaticString {
            switch self {
            case .parse: "parse"
            case .authorise: "authorise"
            case .plan: "plan"
            case .fetch: "fetch"
            case .merge: "merge"
            case .respond: "respond"
            }
        }
    }

    public let start: ContinuousClock.Instant
    private var last: ContinuousClock.Instant
    /// Nanoseconds by stage; negative where the stage was not entered.
    private var spent: InlineArray<6, Int64> = .init(repeating: -1)

    public init(start: ContinuousClock.Instant = .now) {
        self.start = start
        self.last = start
    }

    /// Ends `stage`: what passed since the last mark belongs to it.
    public mutating func mark(_ stage: Stage) {
        let now = ContinuousClock.now
        let (seconds, attoseconds) = (now - last).components
        spent[stage.rawValue] = max(0, spent[stage.rawValue]) + seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        last = now
    }

    public var elapsedMicroseconds: Int64 { start.elapsedMicroseconds }

    /// `parse;dur=0.012, fetch;dur=1.204` in milliseconds, as Server Timing (W3C) has it.
    public var serverTiming: String {
        String(unsafeUninitializedCapacity: 192) { buffer in
            var length = 0
            func put(_ byte: UInt8) {
                buffer[length] = byte
                length += 1
            }
            for stage in Stage.allCases where spent[stage.rawValue] >= 0 {
                if length > 0 {
                    put(UInt8(ascii: ","))
                    put(UInt8(ascii: " "))
                }
                for index in 0..<stage.name.utf8CodeUnitCount { put(stage.name.utf8Start[index]) }
                for byte in ";dur=".utf8 { put(byte) }
                let microseconds = min(spent[stage.rawValue] / 1000, 999_999_999)
                var divisor: Int64 = 100_000_000
                while divisor > 1000, microseconds < divisor { divisor /= 10 }
                while divisor >= 1 {
                    put(UInt8(ascii: "0") + UInt8(microseconds / divisor % 10))
                    if divisor == 1000 { put(UInt8(ascii: ".")) }
                    divisor /= 10
                }
            }
            return length
        }
    }
}

extension ContinuousClock.Instant {
    /// Microseconds since this instant.
    package var elapsedMicroseconds: Int64 {
        let (seconds, attoseconds) = (ContinuousClock.now - self).components
        return seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    }
}
