"""What was done to beats and what was seen of them: the only thing that the checker knows. Nothing here does any I/O."""

import bisect
from dataclasses import asdict, dataclass, field

# What kinds of writes touch. A title and a description carry the token of the write that made the core, album and tags that of the
# write that made the content.
CORE = frozenset({"create", "core", "both", "put"})
CONTENT = frozenset({"create", "content", "both", "put"})
MOVES = {"publish": "published", "unpublish": "draft", "archive": "archived"}

ACKNOWLEDGED, UNKNOWN, REFUSED = "acknowledged", "unknown", "refused"


@dataclass(slots=True)
class Write:
    """One write. `unknown`: its connection was cut or it was answered 5xx, so that it may be there or not. Times are seconds."""

    token: str
    kind: str
    began: float
    ended: float
    outcome: str
    if_match: int | None = None
    # What the answer shows: its own version, or a later one where somebody else was quick.
    version: int | None = None
    client: str = ""
    status: int = 0
    # Whether it was sent again under its key.
    is_again: bool = False


@dataclass(slots=True)
class Read:
    """One beat as one answer shows it; `version` is None where the answer says, or leaves out, that there is none."""

    client: str
    where: str
    how: str
    began: float
    ended: float
    version: int | None
    title: str | None = None
    content: str | None = None
    status: str | None = None
    # Of each store whose part is not fresh, how it is.
    sources: tuple[tuple[str, str], ...] = ()
    # What the reader sent as If-Version-At-Least.
    floor: int = 0
    is_owner: bool = False

    @property
    def is_strict(self):
        """Whether the answer may not come out of a cache that is older than the request."""
        return self.how in ("no-cache", "own", "answer", "final")

    @property
    def is_of_index(self):
        """Whether what it lacks may still be on its way to the search index."""
        return self.how in ("list", "creator's list")


@dataclass(slots=True)
class Beat:
    """The history of one beat."""

    id: str
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    # What the version history says in the end, oldest first: versions and the tokens that their changes were sent with. None where
    # it was not read.
    changes: list[tuple[int, str]] | None = None

    def as_json(self):
        return asdict(self)


class Spans:
    """Times that do not count. Pure."""

    def __init__(self, spans=()):
        merged = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        self.spans = merged
        self.starts = [start for start, _ in merged]

    def back(self, moment, seconds):
        """The latest time before `moment` with so many seconds between that count."""
        index = bisect.bisect_right(self.starts, moment) - 1
        while index >= 0:
            start, end = self.spans[index]
            counted = moment - min(moment, end)
            if counted >= seconds:
                break
            seconds -= counted
            moment = start
            index -= 1
        return moment - seconds

    def covers(self, moment):
        index = bisect.bisect_right(self.starts, moment) - 1
        return index >= 0 and moment <= self.spans[index][1]


class Disturbances:
    """When stores were away, frozen or not yet whole again, and when this machine did not get to run. Pure."""

    # Seconds after which nobody may be shown anything older than what anybody has been told, and the same in a disturbance.
    LAG, DISTURBED_LAG = 0.25, 1.0

    def __init__(self, stores=(), stalls=()):
        self.all, self.stalls = Spans([*stores, *stalls]), Spans(stalls)

    def cut(self, moment):
        """What anybody was told before this, nobody may fall behind at `moment`."""
        return max(self.all.back(moment, self.LAG), self.stalls.back(moment, self.DISTURBED_LAG))

    def covers(self, moment):
        return self.all.covers(moment)
