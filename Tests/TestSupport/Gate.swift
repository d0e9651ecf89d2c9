import Synchronization

/// Holds tasks until it is opened, so that a test decides in which order things happen. Once open it stays open.
public final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var arrived = 0
        var held: [UnsafeContinuation<Void, Never>] = []
        var watchers: [(count: Int, continuation: UnsafeContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    public init() {}

    /// Waits until the gate is open.
    public func pass() async {
        await withUnsafeContinuation { continuation in
            let (isOpen, watchers): (Bool, [UnsafeContinuation<Void, Never>]) = state.withLock { state in
                state.arrived += 1
                if !state.isOpen { state.held.append(continuation) }
                let ready = state.watchers.filter { $0.count <= state.arrived }.map(\.continuation)
                state.watchers.removeAll { $0.count <= state.arrived }
                return (state.isOpen, ready)
            }
            for watcher in watchers { watcher.resume() }
            if isOpen { continuation.resume() }
        }
    }

    /// Waits until `count` tasks have come to the gate, now or before.
    public func arrivals(_ count: Int = 1) async {
        await withUnsafeContinuation { continuation in
            let isReady = state.withLock { state in
                if state.arrived < count { state.watchers.append((count, continuation)) }
                return state.arrived >= count
            }
            if isReady { continuation.resume() }
        }
    }

    public func open() {
        let held = state.withLock { state in
            state.isOpen = true
            defer { state.held = [] }
            return state.held
        }
        for continuation in held { continuation.resume() }
    }
}

/// Runs `body` until it answers true; false where that takes longer than `bound`.
public func eventually(within bound: Duration = .seconds(10), _ body: () async throws -> Bool) async rethrows -> Bool {
    let end = ContinuousClock.now + bound
    while try await !body() {
        guard .now < end else { return false }
        try? await Task.sleep(for: .milliseconds(1))
    }
    return true
}
