import TestSupport
import Testing

/// Runs `body` until it answers true, and records an issue where that takes longer than `bound`. For what the code under test must bring
/// about by itself.
func eventually(
    within bound: Duration = .seconds(20), _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Bool
) async throws {
    guard try await !TestSupport.eventually(within: bound, body) else { return }
    Issue.record("never came true: \(what)", sourceLocation: sourceLocation)
}
