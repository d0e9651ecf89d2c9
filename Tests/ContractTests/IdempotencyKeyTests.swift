import Contract
import Testing

@Suite struct IdempotencyKeyTests {
    @Test(
        arguments: [
            ("a", "a"), ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("~!#$%&'()*+-./:<=>?@[]^_`{|}", nil),
            (#""a""#, "a"), (#""8e03978e-40d5""#, "8e03978e-40d5"), (#""a b, c; d""#, "a b, c; d"),
        ] as [(String, String?)])
    func aKeyIsTheSameWithAndWithoutItsQuotes(_ field: String, _ key: String?) {
        #expect(IdempotencyKey(field: field)?.description == key ?? field)
    }

    @Test(
        arguments: [
            "", " ", "a b", "a, b", "a;b", #"a"b"#, #"a\b"#, "ä", "a\u{7F}", "a\t", #""""#, #"""#, #""a"#, #"a""#, #""a", "b""#,
            #""a";c=d"#,
            #""a"b""#, #""say \"hi\"""#, #""\\""#, #""a"b"#, #""a\"#, #""a\n""#, #""a\"#, "\"a\u{1}\"", "\"ä\"",
        ])
    func whatIsNotOneKeyIsNone(_ field: String) {
        #expect(IdempotencyKey(field: field) == nil)
    }

    @Test func aKeyHasBounds() {
        let longest = String(repeating: "k", count: IdempotencyKey.longest)
        for field in [longest, "\"\(longest)\""] {
            #expect(IdempotencyKey(field: field)?.description.count == IdempotencyKey.longest)
        }
        for field in [longest + "k", "\"\(longest)k\""] { #expect(IdempotencyKey(field: field) == nil) }
    }
}
