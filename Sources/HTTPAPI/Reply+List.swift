import Contract
import JSON

extension Reply {
    /// A list: `items`, each as `write` has it, and `page`.
    public static func list<Row>(_ page: ListPage<Row>, _ write: (Row, inout JSONWriter) -> Void) -> Reply {
        var json = JSONWriter(capacity: 256 * (page.rows.count + 1))
        json.object { json in
            json.key("items")
            json.array { json in for row in page.rows { write(row, &json) } }
            json.page(limit: page.limit, next: page.next, total: page.total?.count, totalIsExact: page.total?.isExact ?? false)
        }
        return .json(json.bytes)
    }
}
