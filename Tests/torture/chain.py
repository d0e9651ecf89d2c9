"""Finds which write made which version of a beat. Pure.

Every version is made by exactly one write, and a token tells which: the order that Elle recovers from appended lists stands here in
the version. What is not known exactly (a write whose connection was cut, one that was answered after somebody else's) is searched for:
a history is legal if there is any way to put each acknowledged write at one version, some of the unknown ones at others, and have
every version show what was read of it.
"""

from dataclasses import dataclass, replace

from history import ACKNOWLEDGED, CONTENT, CORE, MOVES, REFUSED

# Steps of the search for one beat; histories that need more are reported, not believed.
MOST_STEPS = 200_000


@dataclass(frozen=True, slots=True)
class State:
    title: str | None = None
    content: str | None = None
    status: str | None = None


def after(state, write):
    """What a beat is after a write."""
    if write.kind == "create":
        return State(write.token, write.token, "draft")
    if write.kind in MOVES:
        return replace(state, status=MOVES[write.kind])
    return replace(
        state,
        title=write.token if write.kind in CORE else state.title,
        content=write.token if write.kind in CONTENT else state.content,
    )


@dataclass(slots=True)
class Slot:
    """Where a write may stand: at one of the versions `low...high`, at least if it is `needed`."""

    write: object
    low: int
    high: float
    needed: bool


def slots(beat, shown_before):
    """Bounds from what the writer sent and was told. `shown_before(moment)`: the newest version that anybody was shown by then."""
    recorded = {token: version for version, token in beat.changes or ()}
    result = []
    for write in beat.writes:
        if write.outcome == REFUSED or write.kind == "delete":
            continue
        low, high, needed = shown_before(write.began) + 1, float("inf"), write.outcome == ACKNOWLEDGED
        if write.kind == "create":
            low = high = 1
        elif write.if_match is not None:
            low, high = max(low, write.if_match + 1), write.if_match + 1
        if write.version is not None:
            high = min(high, write.version)
        if write.token in recorded and write.kind in CONTENT:
            low = high = recorded[write.token]
            needed = True
        if write.kind in MOVES:
            # What it is already changes nothing, and is acknowledged all the same.
            needed = False
        result.append(Slot(write, low, high, needed))
        if write.kind in MOVES and write.is_again and write.if_match is None:
            # Whose gateway died is carried out anew, which shows if somebody else has moved the beat back meanwhile.
            result.append(Slot(write, low, high, False))
    return result


class NoChain(Exception):
    """There is no legal order; says at which version the search found no way on."""


def find(beat, claims, top, shown_before):
    """The states by version, 1...`top`, and the write that made each. `claims`: what was read, by version. Throws NoChain."""
    return Search(slots(beat, shown_before), claims, top).run()


class Search:
    """Depth first, version by version. Most versions have one write that can have made them, so it seldom turns back."""

    def __init__(self, places, claims, top):
        self.places, self.claims, self.top = places, claims, top
        self.by_low = {}
        for index, slot in enumerate(places):
            if slot.needed and slot.low > slot.high:
                raise NoChain(f"an acknowledged write stands at no version: {slot.write}")
            self.by_low.setdefault(slot.low, []).append(index)
        # Which write, and what the beat is after it, for each version so far.
        self.path = []
        # Where there is no way on: the version, the state before it, and the writes that are used where that matters.
        self.dead = set()

    def run(self):
        steps, deepest = 0, 1
        frames = [self.frame(1, State(), frozenset(), [])]
        while frames:
            steps += 1
            if steps > MOST_STEPS:
                raise NoChain(f"the search gave up at version {deepest} of {self.top}")
            version = len(frames)
            state, used, opened, options = frames[-1]
            option = next(options, None)
            if option is None:
                self.dead.add((version, state, used))
                frames.pop()
                if self.path:
                    self.path.pop()
                continue
            index, following = option
            left = frozenset(one for one in used | {index} if self.matters(one, version))
            if (version + 1, following, left) in self.dead:
                continue
            deepest = max(deepest, version + 1)
            if version < self.top:
                self.path.append(option)
                frames.append(self.frame(version + 1, following, left, [one for one in opened if one != index]))
            elif missed(self.places, [*self.path, option], self.top) is None:
                self.path.append(option)
                return [after for _, after in self.path], [self.places[one].write for one, _ in self.path]
        raise NoChain(f"nothing that was written can have made version {deepest} of {self.top}")

    def matters(self, index, version):
        """Whether it makes a difference later that a write is used up: it could still be used, or somebody was told of its effect."""
        slot = self.places[index]
        return slot.high > version or slot.write.kind in MOVES and slot.write.outcome == ACKNOWLEDGED

    def frame(self, version, state, used, opened):
        """What may be tried at a version: the state before, what is used up, what could stand there, and the choices among that."""
        opened = [one for one in opened if self.places[one].high >= version] + self.by_low.get(version, [])
        return state, used, opened, iter(self.choices(version, state, opened))

    def choices(self, version, state, opened):
        """The writes that may have made this version, and what the beat is after each."""
        due = [one for one in opened if self.places[one].needed and self.places[one].high == version]
        if len(due) > 1:
            return []
        legal = []
        # Acknowledged ones first, the most urgent before the others.
        for index in due or sorted(opened, key=lambda one: (self.places[one].write.outcome != ACKNOWLEDGED, self.places[one].high)):
            write = self.places[index].write
            following = after(state, write)
            is_idle = write.kind in MOVES and following.status == state.status
            if (write.kind == "create") == (version == 1) and not is_idle and self.fits(following, version):
                legal.append((index, following))
        return legal

    def fits(self, state, version):
        claim = self.claims.get(version, (None, None, None))
        return all(wanted in (None, has) for wanted, has in zip(claim, (state.title, state.content, state.status)))


def missed(places, path, top):
    """A needed write that stands nowhere, or a move that was acknowledged and had no effect that anybody could have wanted."""
    used = {places[index].write.token for index, _ in path}
    statuses = [None] + [state.status for _, state in path]
    for slot in places:
        write = slot.write
        if write.token in used:
            continue
        if slot.needed:
            return write
        if write.kind in MOVES and write.outcome == ACKNOWLEDGED:
            # What was sent again is acknowledged where it finds done what it asked for.
            last = slot.high if write.if_match is None else write.if_match
            if write.is_again and write.version:
                last = write.version
            if MOVES[write.kind] not in statuses[max(1, min(slot.low, top + 1) - 1) : int(min(last, top)) + 1]:
                return write
    return None
