import CMongoC

extension MongoError {
    /// The driver's error as one of ours. `labels` come from the reply it gave, if any.
    init(_ error: bson_error_t, labels: Labels = []) {
        let detail = withUnsafeBytes(of: error.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let code: Code =
            switch mongoc_error_domain_t(rawValue: error.domain) {
            case MONGOC_ERROR_SERVER, MONGOC_ERROR_WRITE_CONCERN:
                Code(serverCode: Int32(bitPattern: error.code))
            case MONGOC_ERROR_STREAM, MONGOC_ERROR_SERVER_SELECTION:
                .unavailable
            case MONGOC_ERROR_CLIENT:
                // What a client reports by itself concerns its connection: authentication, handshake, "too many" and so on.
                error.code == MONGOC_ERROR_CLIENT_SESSION_FAILURE.rawValue ? .refused : .unavailable
            case MONGOC_ERROR_PROTOCOL, MONGOC_ERROR_SCRAM, MONGOC_ERROR_SASL:
                .unavailable
            case MONGOC_ERROR_BSON:
                .encoding
            default:
                .refused
            }
        self.init(code, labels: labels, detail: "\(error.domain)/\(error.code) \(detail)")
    }
}

extension MongoError.Code {
    /// The meaning of the server's own number.
    init(serverCode: Int32) {
        self =
            switch serverCode {
            case 11000, 11001, 12582: .duplicateKey
            case 121: .validation
            // MaxTimeMSExpired, ExceededTimeLimit, WriteConcernTimeout, LockTimeout, NetworkInterfaceExceededTimeLimit
            case 50, 262, 64, 24, 202: .timeout
            // HostUnreachable, HostNotFound, NetworkTimeout, ShutdownInProgress, PrimarySteppedDown, SocketException, not primary, interrupted by one
            case 6, 7, 89, 91, 189, 9001, 10107, 13435, 13436, 11600, 11602: .unavailable
            // What a replica set or a router says while another server takes over: CursorNotFound, FailedToSatisfyReadPreference,
            // ReadConcernMajorityNotAvailableYet
            case 43, 133, 134: .unavailable
            default: .server(code: serverCode)
            }
    }
}

extension MongoError.Labels {
    /// The labels on a reply.
    init(of reply: borrowing BSONReply) {
        self = reply.withPointer(Self.init(of:))
    }

    init(of reply: OpaquePointer) {
        self = []
        if mongoc_error_has_label(reply, "TransientTransactionError") { insert(.transientTransaction) }
        if mongoc_error_has_label(reply, "UnknownTransactionCommitResult") { insert(.unknownCommitResult) }
        if mongoc_error_has_label(reply, "RetryableWriteError") { insert(.retryableWrite) }
    }
}
