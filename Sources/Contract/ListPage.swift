/// One page of a list on its way to the client.
public struct ListPage<Row: Sendable>: Sendable {
    public let rows: [Row]
    public let limit: Int
    /// Nil on the last page.
    public let next: Cursor?
    /// How many rows the whole list has; nil where nobody counts them.
    public let total: ListTotal?

    public init(_ rows: [Row], limit: Int, next: Cursor?, total: ListTotal?) {
        self.rows = rows
        self.limit = limit
        self.next = next
        self.total = total
    }

    /// Cuts the page that was asked for from rows of which one more was read than it has, where there is one. `cursor` names where a page
    /// ends, by its last row. `total` was counted beside it.
    public init(cutting rows: [Row], of request: PageRequest, total: ListTotal?, cursor: (Row) -> Cursor) {
        let shown = Array(rows.prefix(request.limit))
        let isLast = rows.count <= request.limit
        self.init(
            shown, limit: request.limit, next: isLast ? nil : shown.last.map(cursor),
            total: total?.beside(shown.count, before: request.rowsBefore, isLast: isLast))
    }

    /// A list that is never longer than `most`.
    public init(whole rows: [Row], most: Int) {
        self.init(rows, limit: most, next: nil, total: ListTotal(Int64(rows.count)))
    }
}

/// How many rows a list has.
public struct ListTotal: Sendable, Equatable {
    public let count: Int64
    /// Whether it has no more than that.
    public let isExact: Bool

    public init(_ count: Int64, isExact: Bool = true) {
        self.count = count
        self.isExact = isExact
    }

    /// How far long lists are counted.
    public static let mostCounted: Int64 = 10_000

    /// Of `count` rows that were counted, where counting stops with the first beyond `most`.
    public init(counted count: Int64, most: Int64 = mostCounted) { self.init(min(count, most), isExact: count <= most) }

    /// What may be said of a list beside a page of it. Both were read one after the other, and rows come and go meanwhile: what the page has
    /// counts for more, and where the count contradicts it, it is exact no longer.
    ///
    /// The page shows `rows`, with `before` on the pages before it; nil says that it begins after a cursor, and that nobody knows. Of those
    /// that it was to show, `gone` are shown no more. `isLast` says that nothing follows.
    public func beside(_ rows: Int, before: Int?, gone: Int = 0, isLast: Bool) -> ListTotal {
        // The page ends the list, and so says by itself how long that is; one past the end says no more than that.
        if isLast, let before, before == 0 || (rows > 0 && gone == 0) { return ListTotal(Int64(before + rows)) }
        let isPastTheEnd = isLast && rows == 0
        let least = isPastTheEnd ? 0 : (before ?? 0) + rows + (isLast ? 0 : 1)
        let most = isLast ? before.map { Int64($0 + rows) } ?? .max : .max
        let likely = max(Int64(least), min(most, count - Int64(gone)))
        return ListTotal(min(likely, Self.mostCounted), isExact: isExact && gone == 0 && likely == count)
    }
}

extension PageRequest {
    /// The row after which the page begins, in the list that `order` names; nil for a page that is numbered. Throws `invalidCursor` for the
    /// cursor of another list.
    public func cursor(of order: UInt64) throws(Problem) -> Cursor? {
        guard case .after(let cursor) = position else { return nil }
        guard cursor.order == order else { throw .foreignCursor }
        return cursor
    }

    /// The same in a list by time.
    public func moment(of order: UInt64) throws(Problem) -> (time: Timestamp, id: EntityID)? {
        guard let cursor = try cursor(of: order) else { return nil }
        guard let time = cursor.timestamp else { throw .foreignCursor }
        return (time, cursor.id)
    }

    /// The same in a list by whole numbers.
    public func number(of order: UInt64) throws(Problem) -> (number: Int64, id: EntityID)? {
        guard let cursor = try cursor(of: order) else { return nil }
        guard case .integer(let number) = cursor.value else { throw .foreignCursor }
        return (number, cursor.id)
    }
}

extension Problem {
    /// A cursor that was given by another list, or by this one with another filter or order.
    public static let foreignCursor = Problem(
        .invalidCursor, "The cursor belongs to another list, or to one with another filter.",
        fields: [.init("cursor", "is of another list")])
}
