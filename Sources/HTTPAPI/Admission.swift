import Contract

/// What has become of a request as far as that needed no waiting.
enum Opening {
    case answered(Reply)
    case waiting(Admission)
}

/// A request that was let in, and whose answer waits for something.
struct Admission: Sendable {
    let match: RouteTable.Match
    let address: ClientAddress
    let isSameSite: Bool
    let place: Place
    /// Whether the limit by address has counted it.
    var isCounted = false
    /// Whether it may be carried out; `Route.shortcut` has been asked then.
    var isAuthorised = false
}
