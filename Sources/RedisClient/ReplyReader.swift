import CHiredis

/// Owns one of hiredis' parsers, which calls back with each part of a reply; the parts become values without a tree of C objects
/// in between, so a string is copied once, from the parser's buffer into its array.
///
/// Replies may be nested seven deep, which is hiredis' own limit; deeper ones, and those over the size limit, are errors.
struct ReplyReader: ~Copyable {
    private let reader: UnsafeMutablePointer<redisReader>
    private let builder: ReplyBuilder

    /// Buffers up to this size are kept from one reply to the next.
    private static let keptBuffer = 64 << 10

    /// Nil where the system is out of memory.
    init?(replyLimit: Int) {
        guard let reader = redisReaderCreateWithFunctions(callbacks) else { return nil }
        self.reader = reader
        builder = ReplyBuilder(limit: replyLimit)
        reader.pointee.maxbuf = Self.keptBuffer
        reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
    }

    deinit { redisReaderFree(reader) }

    /// Takes in bytes. Replies that they complete are to be taken out with `next` before more is fed.
    mutating func feed(_ bytes: UnsafeRawBufferPointer) throws(RedisError) {
        let status = redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        guard status == REDIS_OK else { throw violation }
    }

    /// The next complete reply, nil when more bytes are needed.
    mutating func next() throws(RedisError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &reply) == REDIS_OK else { throw violation }
        if reply != nil { return builder.take() }
        // A string is not parsed before all of it is here.
        guard reader.pointee.len - reader.pointee.pos <= builder.limit else {
            throw RedisError(.protocolViolation, "a reply over the limit")
        }
        return nil
    }

    private var violation: RedisError {
        if builder.isOverLimit { return RedisError(.protocolViolation, "a reply over the limit") }
        let text = withUnsafeBytes(of: reader.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return RedisError(.protocolViolation, text)
    }
}

/// Puts one reply together from its parts, which arrive in order.
private final class ReplyBuilder {
    private struct OpenArray {
        let count: Int
        var values: [RedisValue]
    }

    let limit: Int
    private var size = 0
    private var arrays: [OpenArray] = []
    private var value: RedisValue?

    init(limit: Int) { self.limit = limit }

    var isOverLimit: Bool { size > limit }

    func take() -> RedisValue? {
        size = 0
        return value.take()
    }

    /// Adds a part; false where the reply gets too large.
    func add(_ part: RedisValue, bytes: Int = 0) -> Bool {
        guard grow(bytes) else { return false }
        var part = part
        while let last = arrays.indices.last {
            arrays[last].values.append(part)
            guard arrays[last].values.count == arrays[last].count else { return true }
            part = .array(arrays[last].values)
            arrays.removeLast()
        }
        value = part
        return true
    }

    func beginArray(count: Int) -> Bool {
        guard count > 0 else { return add(.array([])) }
        guard grow(0) else { return false }
        var values: [RedisValue] = []
        // The server's word for the count is not worth memory yet.
        values.reserveCapacity(min(count, 1024))
        arrays.append(OpenArray(count: count, values: values))
        return true
    }

    private func grow(_ bytes: Int) -> Bool {
        size += bytes + MemoryLayout<RedisValue>.stride
        return size <= limit
    }
}

/// What hiredis calls with each part. It only wants to know whether there is an object, so it is given the builder's address as one,
/// or nil, which ends the parsing with an error. Read only, and never freed: parsers refer to it.
private nonisolated(unsafe) let callbacks: UnsafeMutablePointer<redisReplyObjectFunctions> = {
    let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
    functions.initialize(
        to: redisReplyObjectFunctions(
            createString: { task, text, count in
                add(to: task) { builder in
                    let bytes = UnsafeRawBufferPointer(start: text, count: count)
                    return switch task?.pointee.type {
                    case REDIS_REPLY_STATUS: builder.add(.status(String(decoding: bytes, as: UTF8.self)), bytes: count)
                    case REDIS_REPLY_ERROR: builder.add(.error(String(decoding: bytes, as: UTF8.self)), bytes: count)
                    default: builder.add(.string(Array(bytes)), bytes: count)
                    }
                }
            },
            createArray: { task, count in add(to: task) { $0.beginArray(count: Int(count)) } },
            createInteger: { task, integer in add(to: task) { $0.add(.integer(integer)) } },
            createNil: { task in add(to: task) { $0.add(.null) } },
            freeObject: { _ in }))
    return functions
}()

private func add(to task: UnsafePointer<redisReadTask>?, _ body: (ReplyBuilder) -> Bool) -> UnsafeMutableRawPointer? {
    guard let address = task?.pointee.privdata else { return nil }
    return Unmanaged<ReplyBuilder>.fromOpaque(address)._withUnsafeGuaranteedRef(body) ? address : nil
}
