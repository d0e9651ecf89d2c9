import Contract
import HTTPTypes

/// One request and what is found out about it on its way through the edge.
struct Exchange {
    let id = RequestID()
    let head: HTTPRequest
    let fields: RequestFields
    /// HEAD is answered as GET, without the body.
    let method: HTTPRequest.Method
    let target: String
    let path: Substring
    let query: Substring
    var clock = StageClock()
    /// The route's place in the table.
    var route: Int?
    var principal = Principal.anonymous
    /// How the request is signed, if it is.
    var transport: Caller.Transport?
    var rate: RateState?
    var problem: Problem.Code?
    /// The log entry that says why it failed, where that is not its own.
    var cause: RequestID?
    /// Whether its answer is the last one on its connection.
    var closes = false

    init(_ head: HTTPRequest) {
        self.head = head
        fields = RequestFields(head.headerFields)
        method = head.method == .head ? .get : head.method
        let target = head.path ?? ""
        self.target = target
        // Bytes, not characters: finding where characters end costs more than all the rest of routing.
        let mark = target.utf8.firstIndex(of: UInt8(ascii: "?"))
        path = target[..<(mark ?? target.endIndex)]
        query = mark.map { target[target.utf8.index(after: $0)...] } ?? ""
    }

    /// What a 401 asks for (RFC 6750 §3).
    var challenge: String {
        #"Bearer realm="kababeat""# + (fields.authorization != nil || transport != nil ? #", error="invalid_token""# : "")
    }
}
