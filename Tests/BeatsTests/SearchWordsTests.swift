import Testing

@testable import Beats

@Suite struct SearchWordsTests {
    @Test(arguments: [
        ("Dark  808", ["dark", "808"]), ("\"dark\" -trap", ["dark", "trap"]), ("C# don't", ["c", "don", "t"]), ("...", []), ("' # '", []),
        ("Größe 音楽", ["grosse", "音楽"]), ("a,b;c|d", ["a", "b", "c", "d"]), ("$where:1", ["where", "1"]), ("🎧 beats", ["beats"]),
        ("Beyoncé", ["beyonce"]), ("BEYONCE\u{301}", ["beyonce"]),
    ])
    func aTextIsFoundByItsWordsWithoutCaseAndAccents(text: String, words: [String]) {
        #expect(SearchWords.words(text) == words)
    }

    @Test func aBeatHasEachWordOnceAndABoundedNumberOfThem() {
        #expect(SearchWords.words(of: ["One two", "Two THREE", "one"]) == ["one", "two", "three"])
        #expect(SearchWords.words(of: (1...200).map { "w\($0)" }).count == SearchWords.mostInIndex)
    }
}
