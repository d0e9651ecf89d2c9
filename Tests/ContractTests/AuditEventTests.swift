import Contract
import Testing

@Suite("Audit events")
struct AuditEventTests {
    @Test(
        "What has the looks of a token or of a password's hash is left out, wherever it stands",
        arguments: [
            "kbk_6Jx0v1nqzTqzv0g7mH3oB0Yc2s5r9KpXwLaEfDdGhIk",
            "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIwMTkyIiwic2lkIjoiMDE5MyJ9.MEUCIQDx",
            "tried with $2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ])
    func secrets(_ text: String) {
        let event = AuditEvent("login_failed", .signIn, metadata: [.reason: text, .provider: "x \(text) y"])
        #expect(event.metadata == [.reason: "[removed]", .provider: "[removed]"])
    }

    @Test(
        "Names, ids, routes and clients are kept as they are",
        arguments: [
            "wrong_password", "0192f3a4-5b6c-7d8e-9f00-112233445566", "POST /api/auth/second-factor/recovery-codes/renew",
            "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Zoë's laptop",
        ])
    func names(_ text: String) {
        #expect(AuditEvent.harmless(text) == text)
    }

    @Test("A text that is kept has no control character and at most 200 characters")
    func bounds() {
        #expect(AuditEvent.harmless("a\u{0}b\r\nc\u{7F}d") == "abcd")
        #expect(AuditEvent.harmless(String(repeating: "é ", count: 500)).count == 200)
    }
}
