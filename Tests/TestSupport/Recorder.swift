import Contract
import Synchronization

/// Keeps every observation, for a test to look at.
public final class Recorder: Observer {
    private let observations = Mutex<[Observation]>([])

    public init() {}

    public func observe(_ observation: Observation) { observations.withLock { $0.append(observation) } }

    public var all: [Observation] { observations.withLock { $0 } }

    public func count(where isWanted: (Observation) -> Bool) -> Int { all.count(where: isWanted) }
}
