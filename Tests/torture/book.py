"""Where clients write down what they did and saw, beat by beat, while it happens."""

import random
import time
from collections import Counter

from history import ACKNOWLEDGED, Beat, Read


def tokens(item):
    """(title, content) of a beat as it is shown. Where its parts disagree among themselves, both tokens stand there: nobody wrote that."""
    metadata = item.get("metadata") or {}
    title, album, tag = item["title"], metadata.get("album"), (metadata.get("tags") or [None])[0]
    title = title if item.get("description") == title else f"{title} / {item.get('description')}"
    return title, album if album == tag else f"{album} / {tag}"


class Book:
    def __init__(self):
        self.beats = {}
        # Creations whose answer never came: whoever finds their token learns the id. And beats that were found before their answer.
        self.nameless, self.foundlings = {}, {}
        self.owners = {}
        # Which beat a creation made, by its token, and those that made two.
        self.creations, self.twins = {}, []
        # When its deletion was acknowledged.
        self.deleted = {}
        # What its owner was told that there is none of.
        self.gone = set()
        # What writers know of their beats: the item of the newest version that they were shown.
        self.newest = {}
        self.writes, self.reads, self.entries = Counter(), Counter(), Entries()

    def wrote(self, write, beat, owner):
        self.writes[write.outcome] += 1
        if beat is None:
            beat = self.foundlings.get(write.token)
        if beat is None:
            self.nameless[write.token] = write
            return
        self._beat(beat, owner).writes.append(write)
        if write.kind == "create" and self.creations.setdefault(write.token, beat) != beat:
            self.twins.append((write.token, beat, self.creations[write.token]))
        if write.kind == "delete" and write.outcome == ACKNOWLEDGED:
            self.deleted.setdefault(beat, write.ended)
            self.gone.add(beat)

    def _beat(self, beat, owner):
        if beat not in self.beats:
            self.beats[beat] = Beat(beat)
            self.owners[beat] = owner
        return self.beats[beat]

    def saw(self, item, read, owner=None):
        """Completes `read` with what the item shows."""
        read.version, read.status = item["version"], item["status"]
        read.title, read.content = tokens(item)
        read.sources = tuple(sorted(item.get("sources", {}).items()))
        if "metadata" not in item:
            read.content = None
        beat = item["id"]
        if beat not in self.beats:
            if owner is None:
                # A list that was quicker than the answer to the creation.
                return
            found = self._beat(beat, owner)
            if self.creations.setdefault(read.title, beat) != beat:
                self.twins.append((read.title, beat, self.creations[read.title]))
            if write := self.nameless.pop(read.title, None):
                found.writes.append(write)
            else:
                self.foundlings[read.title] = beat
        self.beats[beat].reads.append(read)
        if read.version > self.newest.get(beat, {"version": 0})["version"]:
            self.newest[beat] = item
        self.reads["stale or pending by its own account" if read.sources else "whole"] += 1

    def missed(self, beat, read):
        """`read` was told that there is no such beat."""
        if beat in self.beats:
            self.beats[beat].reads.append(read)
            self.reads["none there"] += 1
            if read.is_owner:
                self.gone.add(beat)

    def listed(self, items, make_read, owners=None, owner=None):
        """A list: what it shows, and what it leaves out, of the owners (None: all) whose beats it has to have."""
        for item in items:
            self.saw(item, make_read(), owner)
        shown, began = {item["id"] for item in items}, make_read().began
        for beat in self.beats:
            is_meant = owners is None or self.owners[beat] in owners
            if is_meant and beat not in shown and self.deleted.get(beat, float("inf")) > began:
                self.missed(beat, make_read())

    def own(self, owner):
        """What the owner may go on with, the oldest first: not what is deleted."""
        return [beat for beat, whose in self.owners.items() if whose == owner and beat in self.newest and beat not in self.gone]


class Entries:
    """What became of the requests at each place where clients go in."""

    KINDS = ("2xx reads", "2xx writes", "3xx, 4xx", "5xx", "cut off")

    def __init__(self):
        self.counts = Counter()

    def note(self, entry, method, status):
        """One request; `status` is None where it had no answer."""
        if status is None:
            kind = "cut off"
        elif 200 <= status < 300:
            kind = "2xx reads" if method == "GET" else "2xx writes"
        else:
            kind = "5xx" if status >= 500 else "3xx, 4xx"
        self.counts[entry, kind] += 1

    def idle(self, entries):
        """Those that nothing was read or nothing was written through, in words: what was to be tried there was not."""
        return [
            f"the entry {entry} had no {kind}" for entry in entries for kind in ("2xx reads", "2xx writes") if not self.counts[entry, kind]
        ]

    def table(self, entries):
        lines = [f"{'':18}" + "".join(f"{kind:>12}" for kind in self.KINDS)]
        return lines + [f"{entry:18}" + "".join(f"{self.counts[entry, kind]:12}" for kind in self.KINDS) for entry in entries]


class Stalls:
    """Times in which this process did not get to run, so that nobody can say what was late."""

    STEP, MOST = 0.02, 0.1

    def __init__(self):
        self.spans = []

    async def watch(self, sleep):
        last = time.monotonic()
        while True:
            await sleep(self.STEP)
            now = time.monotonic()
            if now - last > self.STEP + self.MOST:
                self.spans.append((last, now + self.MOST))
            last = now


def zipf(chance, things):
    """One of the things: the n-th with a weight of 1/n."""
    return chance.choices(things, [1 / rank for rank in range(1, len(things) + 1)])[0]


def dice(seed, name):
    """Chance of one client's own, so that what it does depends on no other's speed."""
    return random.Random(f"{name} {seed}")


def read_of(client, where, how, began, ended, floor=0, is_owner=False):
    return Read(client, where, how, began, ended, None, floor=floor, is_owner=is_owner)
