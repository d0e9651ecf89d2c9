import PostgresClient
import Testing

extension PostgresTests {
    /// What goes out comes back.
    @Suite(.serialized) struct Values {
        private func roundTrip<Value: Sendable>(
            _ type: String, _ value: PostgresValue, _ decode: @escaping @Sendable (borrowing PostgresRow) throws(PostgresError) -> Value
        ) async throws -> Value? {
            try await withClient { client in
                try await client.query(PostgresStatement("SELECT $1::\(type)", decode: decode), [value], deadline: soon).first
            }
        }

        @Test("Numbers come back as they went, to their bounds")
        func numbers() async throws {
            try await withClient { client in
                let ints = PostgresStatement<[Int64]>("SELECT $1::int2, $2::int4, $3::int8, $4::oid") { row throws(PostgresError) in
                    [try row.int64(0), try row.int64(1), try row.int64(2), try row.int64(3)]
                }
                for (small, medium, large) in [(Int64(-32768), Int32.min, Int64.min), (32767, .max, .max), (0, 0, 0)] {
                    let row = try await client.query(
                        ints, [.text(String(small)), .int32(medium), .int64(large), .text("4294967295")], deadline: soon)
                    #expect(row == [[small, Int64(medium), large, 4_294_967_295]])
                }
                let floats = PostgresStatement<[Double]>("SELECT $1::float8, 0.5::float4") { row throws(PostgresError) in
                    [try row.double(0), try row.double(1)]
                }
                for value in [0.1, -Double.greatestFiniteMagnitude, .infinity, .leastNonzeroMagnitude] {
                    #expect(try await client.query(floats, [.double(value)], deadline: soon) == [[value, 0.5]])
                }
                let bools = PostgresStatement<[Bool?]>("SELECT $1::bool, $2::bool, NULL::bool") { row throws(PostgresError) in
                    [try row.bool(0), try row.bool(1), try row.boolOrNil(2)]
                }
                #expect(try await client.query(bools, [.bool(true), .bool(false)], deadline: soon) == [[true, false, nil]])
            }
        }

        @Test(
            "Numerics come back digit for digit",
            arguments: [
                "0", "0.00", "-0.01", "12.50", "99999999.99", "-99999999.99", "0.00000000000000000001", "10000", "100000000.0001",
                "123456789012345678901234567890.123456789012345678901234567890",
            ])
        func numerics(text: String) async throws {
            #expect(try await roundTrip("numeric", .numeric(text)) { row throws(PostgresError) in try row.numeric(0) } == text)
        }

        @Test("A thousand digits on either side come back too")
        func longNumeric() async throws {
            let text = String(repeating: "7", count: 1000) + "." + String(repeating: "3", count: 1000)
            #expect(try await roundTrip("numeric", .numeric(text)) { row throws(PostgresError) in try row.numeric(0) } == text)
        }

        @Test(
            "Money is read as exact minor units",
            arguments: [("12.50", Int64(1250)), ("-0.01", -1), ("99999999.99", 9_999_999_999), ("3", 300), ("7.10", 710)])
        func minorUnits(text: String, units: Int64) async throws {
            let read = try await roundTrip("numeric", .numeric(text)) { row throws(PostgresError) in
                try row.numericMinorUnits(0, scale: 2)
            }
            #expect(read == units)
        }

        @Test("NaN, infinities, fractions of a minor unit and numbers too large are refused")
        func refusedNumerics() async throws {
            for text in ["NaN", "Infinity", "-Infinity"] {
                let error = await failure {
                    try await roundTrip("numeric", .numeric(text)) { row throws(PostgresError) in try row.numeric(0) }
                }
                #expect(error?.code == .decoding)
            }
            for text in ["0.005", "1e30", "NaN"] {
                let error = await failure {
                    try await roundTrip("numeric", .numeric(text)) { row throws(PostgresError) in try row.numericMinorUnits(0, scale: 2) }
                }
                #expect(error?.code == .decoding)
            }
        }

        @Test("Timestamps come back to the microsecond, before and after both epochs; infinity is refused")
        func timestamps() async throws {
            for value: Int64 in [0, 1, -1, 946_684_800_000_000, 1_763_719_200_123_456, -62_135_596_800_000_000] {
                let read = try await roundTrip("timestamptz", .timestamp(value)) { row throws(PostgresError) in
                    try row.timestampMicroseconds(0)
                }
                #expect(read == value)
            }
            let text = try await roundTrip("timestamptz", .text("2026-11-21 10:00:00.5+02")) { row throws(PostgresError) in
                try row.timestampMicroseconds(0)
            }
            #expect(text == 1_795_248_000_500_000)
            let error = await failure {
                try await roundTrip("timestamptz", .text("infinity")) { row throws(PostgresError) in try row.timestampMicroseconds(0) }
            }
            #expect(error?.code == .decoding)
        }

        @Test(
            "Text, JSON and bytes come back unchanged, empty ones too", arguments: ["", "é🎵\n\"\\", String(repeating: "x", count: 100_000)])
        func texts(text: String) async throws {
            #expect(try await roundTrip("text", .text(text)) { row throws(PostgresError) in try row.text(0) } == text)
            let bytes = Array(text.utf8) + [0, 255]
            #expect(try await roundTrip("bytea", .bytes(bytes)) { row throws(PostgresError) in try row.bytes(0) } == bytes)
            #expect(try await roundTrip("bytea", .bytes([])) { row throws(PostgresError) in try row.bytes(0) } == [])
            for type in ["json", "jsonb"] {
                let json = #"{"a": [1, 2.50, "é"]}"#
                #expect(try await roundTrip(type, .json(json)) { row throws(PostgresError) in try row.json(0) } == json)
                let lent = try await roundTrip(type, .json(json)) { row throws(PostgresError) in
                    try row.withBytes(0) { bytes throws(PostgresError) in bytes.elementsEqual(json.utf8) }
                }
                #expect(lent == true)
            }
        }

        @Test("UUIDs and arrays come back, with nulls and empty")
        func arrays() async throws {
            let ids = (0..<100).map { _ in UInt128.random(in: .min ... .max) }
            #expect(try await roundTrip("uuid", .uuid(ids[0])) { row throws(PostgresError) in try row.uuid(0) } == ids[0])
            #expect(try await roundTrip("uuid[]", .uuids(ids)) { row throws(PostgresError) in try row.uuids(0) } == ids)
            #expect(try await roundTrip("uuid[]", .uuids([])) { row throws(PostgresError) in try row.uuids(0) } == [])
            #expect(
                try await roundTrip("text[]", .texts(["a", "", "é,\"{}"])) { row throws(PostgresError) in try row.texts(0) } == [
                    "a", "", "é,\"{}",
                ])
            #expect(
                try await roundTrip("int8[]", .int64s([.min, 0, .max])) { row throws(PostgresError) in try row.int64s(0) } == [
                    .min, 0, .max,
                ])
            let shown: [(String, PostgresValue, String)] = [
                ("text[]", .texts(["a", nil, "NULL"]), #"{a,NULL,"NULL"}"#), ("bool[]", .bools([true, false]), "{t,f}"),
                ("bytea[]", .byteStrings([[1, 255], []]), #"{"\\x01ff","\\x"}"#),
                ("numeric[]", .numerics(["1.50", nil, "-2"]), "{1.50,NULL,-2}"), ("numeric[]", .numerics([]), "{}"),
                ("timestamptz[]", .timestamps([0, nil]), #"{"1970-01-01 00:00:00+00",NULL}"#),
                ("jsonb[]", .jsons([#"{"a": 1}"#, nil]), #"{"{\"a\": 1}",NULL}"#),
            ]
            for (type, value, text) in shown {
                #expect(try await roundTrip("\(type)::text", value) { row throws(PostgresError) in try row.text(0) } == text)
            }
            let error = await failure { try await roundTrip("text[]", .texts([nil])) { row throws(PostgresError) in try row.texts(0) } }
            #expect(error?.code == .decoding)
        }

        @Test("Null is null for every reader, and an error where a value is asked for")
        func nulls() async throws {
            try await withClient { (client) async throws in
                let columns = [
                    "bool", "int4", "int8", "float8", "text", "uuid", "timestamptz", "numeric", "jsonb", "bytea", "text[]", "uuid[]",
                    "int8[]",
                ]
                let statement = PostgresStatement<Bool>("SELECT \(columns.map { "NULL::\($0)" }.joined(separator: ", "))") {
                    row throws(PostgresError) in
                    let values: [Any?] = [
                        try row.boolOrNil(0), try row.int32OrNil(1), try row.int64OrNil(2), try row.doubleOrNil(3), try row.textOrNil(4),
                        try row.uuidOrNil(5), try row.timestampMicrosecondsOrNil(6), try row.numericOrNil(7), try row.jsonOrNil(8),
                        try row.bytesOrNil(9), try row.textsOrNil(10), try row.uuidsOrNil(11), try row.int64sOrNil(12),
                    ]
                    return row.isNull(0) && values.allSatisfy { $0 == nil }
                }
                #expect(try await client.query(statement, deadline: soon) == [true])
                let error = await failure { try await client.query(.number("SELECT NULL::int8"), deadline: soon) }
                #expect(error?.code == .decoding)
            }
        }

        @Test("A reader of another type, or of no column, is an error and leaves the connection usable")
        func mismatch() async throws {
            try await withClient({ $0.connections = 1 }) { (client) async throws in
                for sql in ["SELECT 'x'", "SELECT 1.5", "SELECT now()", "SELECT WHERE false", "SELECT"] where sql != "SELECT WHERE false" {
                    #expect(await failure { try await client.query(.number(sql), deadline: soon) }?.code == .decoding)
                }
                #expect(try await client.query(.number("SELECT 7"), deadline: soon) == [7])
            }
        }

        @Test("Enums, dates and other types take text, and a null column later takes its own type")
        func inferredTypes() async throws {
            try await withClient { client in
                try await client.session(deadline: soon) { session in
                    try await session.execute(
                        script: "CREATE TYPE mood AS ENUM ('calm', 'dark'); CREATE TABLE t (m mood, d date, n int4, v varchar(9), j jsonb)",
                        deadline: soon)
                }
                let insert = PostgresStatement<Void>("INSERT INTO t VALUES ($1, $2, $3, $4, $5)")
                try await client.execute(insert, [.null, .null, .null, .null, .null], deadline: soon)
                let row: [PostgresValue] = [.text("dark"), .text("2026-01-02"), .int32(5), .text("x"), .json("{}")]
                #expect(try await client.execute(insert, row, deadline: soon) == 1)
                try await client.execute(insert, [.null, .null, .int64(6), .null, .null], deadline: soon)
                let read = PostgresStatement<String>("SELECT m, d::text FROM t WHERE n = $1") { row throws(PostgresError) in
                    try row.text(0) + " " + row.text(1)
                }
                #expect(try await client.query(read, [.int64(5)], deadline: soon) == ["dark 2026-01-02"])
            }
        }
    }
}
