import Testing

@testable import RedisClient

@Suite struct RedisErrorTests {
    @Test func theDescriptionHoldsNoKeysAndNoValues() {
        let error = RedisError(reply: "ERR unknown command 'x', with args beginning with: 'secret'")
        #expect(error.code == .server(prefix: "ERR"))
        #expect(error.description == "redis: error ERR")
        #expect("\(error)" == error.description)
        #expect(error.debugDescription.contains("secret"))
    }

    @Test(arguments: ["LOADING", "READONLY", "MISCONF", "OOM", "BUSY", "MASTERDOWN", "NOREPLICAS"])
    func aServerThatCannotServeNowIsUnavailable(prefix: String) {
        #expect(RedisError(reply: "\(prefix) some explanation").isUnavailable)
    }

    @Test(arguments: ["WRONGTYPE", "ERR", "NOSCRIPT", "NOPERM", "NOAUTH", "EXECABORT"])
    func aRefusalIsNotUnavailable(prefix: String) {
        let error = RedisError(reply: "\(prefix) some explanation")
        #expect(error.code == .server(prefix: prefix) && !error.isUnavailable)
    }

    @Test func onlyWhatTheCallerDidIsNotUnavailable() {
        for code in [RedisError.Code.connection, .timeout, .queueFull, .breakerOpen, .shutdown] { #expect(RedisError(code).isUnavailable) }
        #expect(!RedisError(.cancelled).isUnavailable)
    }

    @Test func repliesAreReadAsWhatIsAskedFor() {
        #expect(RedisValue.string([0x34, 0x32]).int64 == 42)
        #expect(RedisValue.integer(42).int64 == 42)
        #expect(RedisValue.string([0xFF]).text == nil)
        #expect(RedisValue.status("OK").text == "OK")
        #expect(RedisValue.null.bytes == nil && RedisValue.null.isNull)
        #expect(RedisValue.array([.null]).elements == [.null])
    }
}
