import Contract
import TestSupport
import Testing

@Suite struct EntityIDTests {
    @Test func newIdsAreVersion7WithTimeVersionAndVariantInTheirPlaces() {
        // The example of RFC 9562, appendix A.6.
        let random = UInt128(0xCC3) << 64 | UInt128(0x18C4_DC0C_0C07_398F)
        #expect(EntityID.make(milliseconds: 0x017F_22E2_79B0, random: random).description == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        #expect(EntityID.make(milliseconds: 0, random: 0).description == "00000000-0000-7000-8000-000000000000")
        #expect(EntityID.make(milliseconds: 0, random: .max).description == "00000000-0000-7fff-bfff-ffffffffffff")
    }

    @Test func newIdsSortByTimeOfCreationInEveryForm() {
        var random = SeededGenerator()
        let times = (0..<1000).map { _ in Int64.random(in: 0..<1 << 48, using: &random) }.sorted()
        let ids = times.map { EntityID.make(milliseconds: $0) }
        for (index, pair) in zip(ids, ids.dropFirst()).enumerated() where times[index] != times[index + 1] {
            #expect(pair.0 < pair.1, "\(random)")
            #expect(pair.0.description < pair.1.description, "\(random)")
        }
    }

    @Test func timesThatDoNotFitAreClampedOrCutAndNeverTouchTheVersion() {
        for time in [Int64.min, -1, 1 << 48, .max] {
            let text = EntityID.make(milliseconds: time).description
            #expect(Array(text.utf8)[14] == UInt8(ascii: "7"))
            #expect("89ab".utf8.contains(Array(text.utf8)[19]))
        }
    }

    @Test func everyIdReadsBackFromItsTextInEitherCase() {
        var random = SeededGenerator()
        for _ in 0..<2000 {
            let id = EntityID(rawValue: UInt128.random(in: .min ... .max, using: &random))
            #expect(EntityID(id.description) == id, "\(random)")
            #expect(EntityID(id.description.uppercased()) == id, "\(random)")
            #expect(id.description.utf8.count == 36 && id.description == id.description.lowercased())
        }
    }

    @Test(arguments: [
        "", "0", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0", "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}", "017f22e2-79b0-7cc3-98c4_dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398 ", " 17f22e2-79b0-7cc3-98c4-dc0c0c07398f", "01-7f22e279b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\0", "०17f22e2-79b0-7cc3-98c4-dc0c0c07398", "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    ])
    func whatIsNotTheCanonicalFormIsNoId(_ text: String) {
        #expect(EntityID(text) == nil)
    }
}
