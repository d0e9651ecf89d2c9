import Testing

@testable import PostgresClient

@Suite struct StatementCacheTests {
    private func prepare(_ cache: inout StatementCache, _ sql: String, _ parameters: [PostgresValue] = []) -> (String, replaced: String?)? {
        guard case .missing(let statement, let replaced) = cache.lookup(sql, parameters) else { return nil }
        return (statement.name, replaced?.sql)
    }

    @Test("A statement is prepared once, under a name of its own")
    func once() {
        var cache = StatementCache(limit: 2)
        let first = prepare(&cache, "a")?.0
        #expect(prepare(&cache, "a") == nil)
        #expect(first != prepare(&cache, "b")?.0)
    }

    @Test("No two connections give one name to different statements, or a pooler between would run the wrong one")
    func nameTellsStatement() {
        var (one, other) = (StatementCache(limit: 8), StatementCache(limit: 8))
        let first = prepare(&one, "a", [.int64(1)])?.0
        #expect(first != nil && first != prepare(&other, "b", [.int64(1)])?.0)
        var third = StatementCache(limit: 8)
        #expect(first == prepare(&third, "a", [.int64(2)])?.0, "one statement may have one name")
        var fourth = StatementCache(limit: 8)
        #expect(first != prepare(&fourth, "a", [.uuid(2)])?.0, "types are part of it")
    }

    @Test("Beyond the limit the least recently used statement goes")
    func leastRecentlyUsed() {
        var cache = StatementCache(limit: 2)
        _ = prepare(&cache, "a")
        _ = prepare(&cache, "b")
        _ = prepare(&cache, "a")
        #expect(prepare(&cache, "c")?.replaced == "b")
        #expect(prepare(&cache, "a") == nil)
        #expect(cache.count == 2)
    }

    @Test("A null tells no type: the first value at its place prepares anew, and null and text then fit")
    func typesSettle() {
        var cache = StatementCache(limit: 8)
        _ = prepare(&cache, "a", [.null, .int64(1)])
        #expect(prepare(&cache, "a", [.uuid(1), .null])?.replaced == "a")
        #expect(prepare(&cache, "a", [.null, .int64(2)]) == nil)
        #expect(prepare(&cache, "a", [.text("x"), .int64(2)]) == nil)
        #expect(prepare(&cache, "a", [.uuid(1), .int32(2)])?.replaced == "a")
        #expect(cache.count == 1)
    }

    @Test("A forgotten statement is prepared anew; forgetting an older one of the same text changes nothing")
    func forget() {
        var cache = StatementCache(limit: 8)
        guard case .missing(let old, _) = cache.lookup("a", [.null]), case .missing(let new, _) = cache.lookup("a", [.int64(1)]) else {
            Issue.record("not prepared")
            return
        }
        cache.forget(old)
        #expect(prepare(&cache, "a", [.int64(1)]) == nil)
        cache.forget(new)
        #expect(prepare(&cache, "a", [.int64(1)]) != nil)
    }
}

@Suite struct QueueTests {
    @Test("First in, first out, through growth and wrap-around")
    func order() {
        var queue = Queue<Int>()
        var expected: [Int] = []
        for value in 0..<1000 {
            queue.append(value)
            expected.append(value)
            if value % 3 == 0 {
                #expect(queue.popFirst() == expected.removeFirst())
            }
            if value % 7 == 4 {
                #expect(queue.popLast() == expected.removeLast())
            }
        }
        #expect(queue.count == expected.count && queue.first == expected.first)
        #expect(queue.removeAll { $0.isMultiple(of: 2) } == expected.filter { $0.isMultiple(of: 2) })
        var rest: [Int] = []
        queue.forEach { rest.append($0) }
        #expect(rest == expected.filter { !$0.isMultiple(of: 2) })
    }
}
