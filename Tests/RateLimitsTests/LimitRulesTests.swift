import Contract
import Foundation
import Testing

@testable import RateLimits

@Suite struct LimitRulesTests {
    @Test func theTableInTheDocumentIsWhatHolds() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/rate-limits.md")
        let source = try String(contentsOf: file, encoding: .utf8)
        let rows = source.split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst(2).map { line in
            line.dropFirst(2).split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        #expect(rows.count == RateClass.allCases.count - 1)
        for row in rows {
            let rateClass = try #require(RateClass(rawValue: row[0]))
            for (kind, text) in zip(RateSubjectKind.allCases, row.dropFirst()) {
                #expect(LimitRules()[rateClass, kind]?.text ?? "–" == text, "\(rateClass) \(kind)")
            }
        }
    }

    @Test func whatIsUnlimitedHasNoRule() {
        #expect(RateSubjectKind.allCases.allSatisfy { LimitRules()[.unlimited, $0] == nil })
    }

    @Test func aBareRuleHoldsForEveryKindThatHasOne() {
        var rules = LimitRules()
        #expect(rules.read(.signIn, "3/10") == true)
        #expect(rules.text(.signIn) == "address=3/10 account=3/10 key=3/10 subject=3/10")
        #expect(rules.read(.read, "3/10") == true)
        #expect(rules.text(.read) == "address=3/10 account=3/10 key=3/10")
    }

    @Test func aNamedRuleLeavesTheOthersAsTheyWere() {
        var rules = LimitRules()
        #expect(rules.read(.write, "account=5/10 address=7/10") == true)
        #expect(rules.text(.write) == "address=7/10 account=5/10 key=6000/60")
    }

    @Test(arguments: ["", " ", "x", "address=", "=1/1", "address=1/1,account=1/1", "subject=1/1", "host=1/1", "1/1 address=x"])
    func whatIsNoSettingChangesNothing(text: String) {
        var rules = LimitRules()
        #expect(rules.read(.read, text) == false)
        #expect(rules == LimitRules())
    }

    @Test func exemptAddressesAreExemptFromGeneralClassesAlone() throws {
        var rules = LimitRules()
        let (inside, outside) = (try #require(ClientAddress("127.0.0.1")), try #require(ClientAddress("192.0.2.1")))
        #expect(RateClass.allCases.allSatisfy { !rules.isExempt($0, inside) })
        rules.exempt = [try #require(AddressBlock("127.0.0.0/8"))]
        for rateClass in RateClass.allCases {
            #expect(rules.isExempt(rateClass, inside) == [.unlimited, .read, .search, .write].contains(rateClass))
            #expect(!rules.isExempt(rateClass, outside))
        }
    }
}
