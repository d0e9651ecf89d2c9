import Credentials
import Testing

@testable import Mail

@Suite struct MailTemplateTests {
    private let links = MailLinks(base: "https://kababeat.example/app//")
    private let token = OpaqueToken()

    private var all: [MailTemplate] {
        [
            .verifyAddress(username: "ana", token: token, validity: .seconds(86_400)),
            .resetPassword(username: "ana", token: token, validity: .seconds(1800)), .alreadyRegistered(username: "ana"),
            .passwordChanged(username: "ana"),
        ]
    }

    @Test func aTokenStandsBehindTheHashThatNoServerSees() {
        #expect(all[0].text(links).contains("\n\nhttps://kababeat.example/app/verify-email#token=\(token.secret)\n\n"))
        #expect(all[1].text(links).contains("\n\nhttps://kababeat.example/app/reset-password#token=\(token.secret)\n\n"))
        #expect(!all[2].text(links).contains("token"))
        #expect(!all[3].text(links).contains("token"))
    }

    @Test func aMailSaysForHowLongItsLinkWorks() {
        #expect(all[0].text(links).contains("works once, for 24 hours."))
        #expect(all[1].text(links).contains("works once, for 30 minutes."))
        func text(_ seconds: Int) -> String {
            MailTemplate.verifyAddress(username: "ana", token: token, validity: .seconds(seconds)).text(links)
        }
        #expect(text(3600).contains("for 1 hour."))
        #expect(text(5400).contains("for 90 minutes."))
        #expect(text(60).contains("for 1 minute."))
    }

    @Test func everyMailGreetsItsReaderInLinesThatFitAScreenAndHasItsOwnName() {
        for template in all {
            #expect(template.text(links).hasPrefix("Hello ana,\n\n"))
            #expect(template.text(links).split(separator: "\n").allSatisfy { $0.count <= 130 || $0.hasPrefix("https://") })
            #expect(template.subject.count <= 60)
            #expect(template.name.wholeMatch(of: /[a-z][a-z_]{0,49}/) != nil)
        }
        #expect(Set(all.map(\.name)).count == all.count)
    }
}
