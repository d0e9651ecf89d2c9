"""The checker finds what it is there for: each test shows it a history, most of them with one thing wrong."""

import random
import unittest

import checker
from book import Entries
from history import ACKNOWLEDGED, REFUSED, UNKNOWN, Beat, Disturbances, Read, Write

SECOND = 1.0


class Story:
    """Writes and reads of one beat, a second apart."""

    def __init__(self):
        self.beat, self.now, self.version, self.title, self.content, self.status = Beat("beat"), 0.0, 0, None, None, None
        self.beat.changes = []
        self.wrote("create", "a")

    def wrote(self, kind, token="", outcome=ACKNOWLEDGED, took_effect=True, if_match=None, shows=None):
        self.now += SECOND
        write = Write(token, kind, self.now, self.now + 0.1, outcome, if_match, None, "writer", 200)
        if took_effect:
            self.version += 1
            if kind in checker.CORE:
                self.title = token
            if kind in checker.CONTENT:
                self.content = token
                self.beat.changes.append((self.version, token))
            self.status = {"create": "draft", "publish": "published", "unpublish": "draft"}.get(kind, self.status)
        self.beat.writes.append(write)
        if outcome == ACKNOWLEDGED and kind != "delete":
            write.version = shows or self.version
            self.read(how="answer", began=write.began, ended=write.ended, client="writer", is_owner=True)
        return self

    def read(self, how="cached", client="reader", where="a", began=None, ended=None, **other):
        if began is None:
            self.now += SECOND
            began = self.now
        shown = {"version": self.version, "title": self.title, "content": self.content, "status": self.status} | other
        self.beat.reads.append(Read(client, where, how, began, ended or began + 0.01, **shown))
        return self

    def missing(self, how="cached", is_owner=False):
        return self.read(how, version=None, title=None, content=None, status=None, is_owner=is_owner)

    def ends(self):
        return self.read(how="final", client="end", where="b", is_owner=True)

    def kinds(self, *disturbances):
        return sorted({verdict.kind for verdict in checker.check(self.beat, Disturbances(disturbances))})


def published():
    return Story().wrote("publish")


class GoodHistories(unittest.TestCase):
    def test_a_history_without_a_fault_has_no_verdict(self):
        story = published().read().wrote("core", "b").read().wrote("content", "c", if_match=3).read(how="no-cache")
        self.assertEqual(story.wrote("both", "d").wrote("unpublish").missing().ends().kinds(), [])

    def test_an_unknown_write_may_be_there_or_not(self):
        self.assertEqual(published().wrote("both", "b", UNKNOWN).read().ends().kinds(), [])
        self.assertEqual(published().wrote("both", "b", UNKNOWN, took_effect=False).read().ends().kinds(), [])

    def test_an_unknown_write_may_come_late(self):
        story = published().wrote("core", "b", UNKNOWN, took_effect=False).wrote("content", "c")
        story.version, story.title = story.version + 1, "b"
        self.assertEqual(story.read().ends().kinds(), [])

    def test_writes_that_race_may_stand_in_either_order(self):
        story = published()
        for token in "bc":
            story.wrote("core", token)
        # Both were answered with what the second made.
        story.beat.writes[-2].began = story.beat.writes[-1].began
        story.beat.writes[-2].version = story.version
        story.beat.reads = [read for read in story.beat.reads if read.title != "b"]
        self.assertEqual(story.read().ends().kinds(), [])

    def test_a_move_that_was_sent_again_may_be_made_again_or_find_done_what_it_asked_for(self):
        story = published().wrote("unpublish", "first").wrote("publish").wrote("unpublish", "second")
        first, second = (story.beat.writes[index] for index in (2, 4))
        second.began, second.is_again = first.began, True
        story.beat.writes.remove(first)
        self.assertEqual(story.ends().kinds(), [])
        story = published().wrote("unpublish", "first").wrote("unpublish", "second", took_effect=False, if_match=2)
        self.assertEqual(story.kinds(), ["lost"])
        story.beat.writes[-1].is_again = True
        self.assertEqual(story.ends().kinds(), [])

    def test_a_deleted_beat_is_gone(self):
        self.assertEqual(published().wrote("delete").missing().missing("final", is_owner=True).kinds(), [])

    def test_a_disturbance_excuses_an_old_answer_from_a_cache(self):
        story = published().read().wrote("core", "b")
        story.read(version=2, title="a", where="b", began=story.now + 0.9)
        self.assertEqual(story.kinds((story.now - 0.5, story.now + 1)), [])

    def test_a_list_may_lack_what_was_published_by_a_write_that_had_no_answer_or_one_that_was_not_whole(self):
        self.assertEqual(Story().wrote("publish", outcome=UNKNOWN).read().missing("list").kinds(), [])
        story = Story().wrote("publish")
        story.beat.reads[-1].sources = (("mongo", "missing"),)
        self.assertEqual(story.missing("list").kinds(), [])

    def test_content_that_says_it_is_not_fresh_may_be_older(self):
        story = published().wrote("both", "b")
        self.assertEqual(story.read(content="a", sources=(("mongo", "stale"),)).ends().kinds(), [])


class BadHistories(unittest.TestCase):
    def test_lost_a_version_that_was_shown_is_gone_in_the_end(self):
        story = published().wrote("core", "b")
        story.version, story.title = 2, "a"
        self.assertIn("lost", story.ends().kinds())

    def test_lost_an_acknowledged_write_is_in_no_version(self):
        story = published().wrote("core", "b", took_effect=False)
        story.beat.writes[-1].version = None
        self.assertEqual(story.wrote("content", "c").ends().kinds(), ["lost"])

    def test_lost_a_write_of_the_content_undid_one_of_the_core(self):
        story = published().wrote("core", "b").wrote("content", "c")
        story.beat.reads[-1].title = story.title = "a"
        self.assertTrue({"lost", "torn"} & set(story.ends().kinds()))

    def test_lost_the_version_history_lacks_an_acknowledged_change(self):
        story = published().wrote("content", "b").ends()
        story.beat.changes.pop()
        self.assertEqual(story.kinds(), ["lost"])

    def test_lost_two_writes_of_one_version_were_acknowledged(self):
        story = published().wrote("core", "b", if_match=2).wrote("core", "c", if_match=2, took_effect=False)
        self.assertIn("lost", story.ends().kinds())

    def test_lost_a_beat_that_nobody_deleted_is_gone(self):
        self.assertIn("lost", published().missing("final", is_owner=True).kinds())

    def test_lost_a_deleted_beat_is_there(self):
        self.assertEqual(published().wrote("delete", took_effect=False).ends().kinds(), ["lost", "stale"])

    def test_torn_one_version_is_read_in_two_ways(self):
        story = published().wrote("both", "b").read()
        self.assertIn("torn", story.read(content="a").kinds())

    def test_torn_an_answer_shows_content_that_is_older_than_its_core(self):
        story = published().wrote("both", "b", if_match=2).wrote("both", "c", if_match=3)
        story.beat.reads = [read for read in story.beat.reads if read.title != "c"]
        self.assertIn("torn", story.read(content="b").kinds())

    def test_torn_an_answer_shows_content_that_is_newer_than_its_core(self):
        story = published().wrote("core", "b").wrote("content", "c")
        self.assertIn("torn", story.read(version=3, content="c").kinds())

    def test_torn_content_is_newer_than_its_core_although_it_says_that_it_is_stale(self):
        story = published().wrote("content", "b").wrote("content", "c")
        self.assertIn("torn", story.read(version=3, content="c", sources=(("mongo", "stale"),)).kinds())

    def test_regressed_a_reader_is_shown_what_is_older_than_what_another_was_shown(self):
        story = published().wrote("core", "b", UNKNOWN).read(where="b").read(version=2, title="a", client="other")
        self.assertEqual(story.kinds(), ["regressed"])

    def test_regressed_the_same_client_goes_back_at_once_at_one_instance(self):
        story = published().wrote("core", "b", UNKNOWN).read()
        story.read(version=2, title="a", began=story.now + 0.02)
        self.assertEqual(story.kinds((0, 100)), ["regressed"])

    def test_stale_a_cache_shows_an_older_version_too_long_after_the_acknowledgement(self):
        self.assertEqual(published().wrote("core", "b").read(version=2, title="a", where="b").kinds(), ["stale"])

    def test_stale_even_in_a_disturbance_no_cache_lags_behind_for_more_than_a_second(self):
        story = published().wrote("core", "b")
        story.read(version=2, title="a", where="b", began=story.now + 1.2)
        self.assertEqual(story.kinds((0, 100)), ["stale"])

    def test_stale_a_read_past_the_caches_is_held_to_the_moment_even_in_a_disturbance(self):
        story = published().wrote("core", "b")
        story.read("no-cache", version=2, title="a", began=story.now + 0.11)
        self.assertEqual(story.kinds((0, 100)), ["stale"])

    def test_stale_a_version_that_was_asked_for_is_not_shown(self):
        story = published().wrote("core", "b")
        self.assertIn("stale", story.read(version=2, title="a", floor=3, where="b").kinds((0, 100)))

    def test_stale_a_reader_is_told_that_a_published_beat_is_none(self):
        self.assertEqual(published().missing().ends().kinds(), ["stale"])

    def test_stale_a_list_lacks_a_beat_whose_publication_was_acknowledged_as_whole(self):
        self.assertEqual(published().missing("list").kinds(), ["stale"])

    def test_stale_an_owner_is_told_that_a_draft_is_none(self):
        self.assertEqual(Story().missing("own", is_owner=True).kinds(), ["stale"])

    def test_stale_a_deleted_beat_is_still_shown(self):
        self.assertEqual(published().wrote("delete", took_effect=False).read().kinds(), ["stale"])

    def test_phantom_a_refused_write_takes_effect(self):
        self.assertEqual(published().wrote("core", "b", REFUSED).read().kinds(), ["phantom"])

    def test_phantom_a_change_stands_twice_in_the_version_history(self):
        story = published().wrote("content", "b")
        story.beat.changes.append((story.version + 1, "b"))
        self.assertIn("phantom", story.kinds())


class VoidRuns(unittest.TestCase):
    def notes(self, *notes):
        entries = Entries()
        for note in notes:
            entries.note(*note)
        return entries

    def test_an_entry_through_which_was_read_and_written_is_not_idle(self):
        entries = self.notes(("a", "GET", 200), ("a", "PATCH", 200), ("a", "GET", 503), ("b", "GET", 200), ("b", "DELETE", 204))
        self.assertEqual(entries.idle(("a", "b")), [])

    def test_an_entry_is_idle_whose_every_answer_was_an_error_or_none(self):
        entries = self.notes(*((where, how, 200) for where in "ab" for how in ("GET", "POST")))
        for method in ("GET", "POST", "PATCH"):
            for status in (503, 404, 412, None):
                entries.note("balancer", method, status)
        idle = ["the entry balancer had no 2xx reads", "the entry balancer had no 2xx writes"]
        self.assertEqual(entries.idle(("balancer", "a", "b")), idle)

    def test_reads_alone_do_not_make_up_for_writes(self):
        self.assertEqual(self.notes(("a", "GET", 200), ("a", "PUT", 503)).idle("a"), ["the entry a had no 2xx writes"])
        self.assertEqual(self.notes(("a", "PUT", 200), ("a", "GET", None)).idle("a"), ["the entry a had no 2xx reads"])

    def test_an_entry_that_nobody_chose_is_idle(self):
        self.assertEqual(len(Entries().idle("a")), 2)


class Mutations(unittest.TestCase):
    """Long histories that chance makes are legal; with one answer falsified, they are not."""

    def make(self, seed):
        chance, story = random.Random(seed), published()
        for number in range(120):
            kind = chance.choice(["core", "content", "both", "put", "unpublish" if story.status == "published" else "publish"])
            outcome = UNKNOWN if chance.random() < 0.1 else ACKNOWLEDGED
            story.wrote(
                kind, f"t{number}", outcome, outcome == ACKNOWLEDGED or chance.random() < 0.5,
                story.version if chance.random() < 0.5 and outcome == ACKNOWLEDGED else None)
            for _ in range(chance.randint(0, 3)):
                story.read() if story.status == "published" else story.missing()
        return chance, story.ends()

    def test_legal(self):
        for seed in range(30):
            self.assertEqual(self.make(seed)[1].kinds(), [], f"seed {seed}")

    def test_an_older_core_or_content_in_any_one_answer_is_found(self):
        for seed in range(60):
            chance, story = self.make(seed)
            reads = [read for read in story.beat.reads if read.version and read.version > 30]
            read = chance.choice(reads)
            part = chance.choice(["title", "content"])
            older = [old for old in story.beat.reads if old.version and old.version < read.version]
            value = next(getattr(old, part) for old in reversed(older) if getattr(old, part) not in (None, getattr(read, part)))
            setattr(read, part, value)
            self.assertNotEqual(story.kinds(), [], f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
