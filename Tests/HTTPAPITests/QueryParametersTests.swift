import Contract
import Testing

@testable import HTTPAPI

@Suite struct QueryParametersTests {
    private func read(_ query: Substring) throws(Problem) -> QueryParameters {
        try QueryParameters(query, allowed: ["a", "bpm[min]", "page", "limit", "cursor"])
    }

    private func code(_ query: Substring, _ read: (inout QueryParameters) -> Void = { _ in }) -> Problem.Code? {
        do throws(Problem) {
            var parameters = try self.read(query)
            read(&parameters)
            try parameters.check()
            return nil
        } catch {
            return error.code
        }
    }

    @Test func valuesAreDecodedOnce() throws {
        var parameters = try read("bpm%5Bmin%5D=90&a=x%2520+y&&")
        #expect(parameters.number("bpm[min]", in: 0...1000) == 90)
        #expect(parameters.text("a") == "x%20 y")
    }

    @Test(
        arguments: ["a=1&a=2", "a=%", "a=%2", "a=%zz", "a=%00", "a=%ff", "a=%c0%af", "a=%0d%0aX:1", "a=%7f", "a=%ed%a0%80"] as [Substring])
    func whatIsNoPlainTextIsRefused(_ query: Substring) {
        #expect(code(query) == .invalidRequest)
    }

    @Test(arguments: ["b=1", "a[$ne]=1", "$where=1", "=1", "A=1", "%61%00=1"] as [Substring])
    func whatIsNotKnownIsRefused(_ query: Substring) {
        #expect(code(query) == (query.hasPrefix("%61") ? .invalidRequest : .unknownParameter))
    }

    @Test(arguments: [("90", 90), ("90.5", 90.5), ("9e1", 90), ("1E+2", 100), ("0", 0), ("1000", 1000)] as [(String, Double)])
    func aNumberIsReadAsJSONWritesIt(_ text: String, _ number: Double) throws {
        var parameters = try read("a=\(text.replacing("+", with: "%2B"))")
        #expect(parameters.number("a", in: 0...1000) == number)
    }

    @Test(arguments: ["", "-1", "1001", "nan", "inf", "0x10", "1,5", "1e999", "٣", "1-2", "1 ", String(repeating: "0", count: 31)])
    func whatIsNoNumberWithinBoundsIsRefused(_ text: String) {
        #expect(code("a=\(text)") { _ = $0.number("a", in: 0...1000) } == .invalidRequest)
    }

    @Test(arguments: [
        "limit=0", "limit=101", "limit=-1", "limit=1e1", "limit=٣", "page=0", "page=501", "page=999999999999999999999", "cursor=x",
    ])
    func aPageIsWithinItsBounds(_ query: String) {
        #expect(code(Substring(query)) { _ = $0.page() } == .invalidRequest)
    }

    @Test func pageAndCursorExcludeEachOther() {
        let cursor = Cursor(order: 1, value: .absent, id: EntityID(rawValue: 1))
        #expect(code("cursor=\(cursor)") { _ = $0.page() } == nil)
        #expect(code("page=1&cursor=\(cursor)") { _ = $0.page() } == .invalidRequest)
    }

    @Test func theCursorAfterTheLongestTitleIsTaken() throws {
        let title = String(repeating: "\u{1F3B5}", count: 255)
        let cursor = Cursor(order: 1, value: .text(title), id: EntityID(rawValue: 1))
        var parameters = try read("cursor=\(cursor)")
        #expect(parameters.page().position == .after(cursor))
    }
}
