/// Lends stacks to few tests at once, and each to one after the other: making a database costs the servers more than most tests do.
actor StackPool {
    static let shared = StackPool(places: 3)

    private let places: Int
    private var busy = 0
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var idle: [Stack] = []

    init(places: Int) { self.places = places }

    /// Lends `count` stacks that hold nothing. Those of a test that failed go, the others serve again; the last test leaves none.
    nonisolated func lend(_ count: Int, _ body: ([Stack]) async throws -> Void) async throws {
        await begin()
        let outcome: Result<Void, any Error>
        do {
            var stacks: [Stack] = []
            for _ in 0..<count { stacks.append(try await take().cleaned()) }
            do { try await body(stacks) } catch {
                for stack in stacks { try await stack.drop() }
                throw error
            }
            await put(stacks)
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        for stack in await end() { try await stack.drop() }
        try outcome.get()
    }

    private func begin() async {
        if busy < places {
            busy += 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    /// Hands the place on. Answers the stacks that nobody will ask for any more.
    private func end() -> [Stack] {
        if !waiting.isEmpty {
            waiting.removeFirst().resume()
            return []
        }
        busy -= 1
        guard busy == 0 else { return [] }
        defer { idle = [] }
        return idle
    }

    private func take() async throws -> Stack {
        if let stack = idle.popLast() { return stack }
        return try await Stack.make()
    }

    private func put(_ stacks: [Stack]) { idle += stacks }
}
