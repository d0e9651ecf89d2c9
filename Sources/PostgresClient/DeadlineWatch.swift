import Reactor

/// The one timer that watches every deadline. It is set to the earliest and looks at all requests when it fires, which with like
/// deadlines is once per deadline's length, not once per request.
struct DeadlineWatch {
    var timer: Reactor.Timer?
    var due: ContinuousClock.Instant?
}
