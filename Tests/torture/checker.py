"""Holds the history of a beat against what the gateway promises. Pure; docs/torture.md states each rule."""

import bisect
from collections import defaultdict
from dataclasses import dataclass

import chain
from history import ACKNOWLEDGED, CONTENT, CORE, REFUSED, Disturbances

LOST, TORN, REGRESSED, STALE, PHANTOM = "lost", "torn", "regressed", "stale", "phantom"
KINDS = (LOST, TORN, REGRESSED, STALE, PHANTOM)


@dataclass(slots=True)
class Verdict:
    kind: str
    beat: str
    text: str


class Shown:
    """The newest version that anybody was shown by a moment."""

    def __init__(self, reads):
        self.times, self.versions = [], []
        newest = 0
        for read in sorted((read for read in reads if read.version is not None), key=lambda read: read.ended):
            if read.version > newest:
                newest = read.version
                self.times.append(read.ended)
                self.versions.append(newest)

    def by(self, moment):
        """(version, when it was shown first)."""
        index = bisect.bisect_right(self.times, moment) - 1
        return (self.versions[index], self.times[index]) if index >= 0 else (0, 0.0)


def check(beat, disturbances=Disturbances()):
    """Everything that is wrong with one history."""
    verdicts = []

    def say(kind, text):
        verdicts.append(Verdict(kind, beat.id, text))

    shown = Shown(beat.reads)
    claims = gather(beat, say)
    check_tokens(beat, say)
    check_changes(beat, say)
    check_versions(beat, say)
    check_pairs(beat, say)
    states = None
    if not verdicts:
        top = max((read.version for read in beat.reads if read.version is not None), default=0)
        try:
            if top:
                states = chain.find(beat, claims, top, lambda moment: shown.by(moment)[0])
        except chain.NoChain as none:
            say(LOST, f"no order of the writes explains what was read: {none}")
    check_final(beat, say)
    check_times(beat, disturbances, say)
    check_absence(beat, states, disturbances, say)
    return verdicts


def gather(beat, say):
    """What each version was read as, (title, content, status); two answers that differ are torn."""
    claims, witnesses = {}, {}
    for read in beat.reads:
        if read.version is None:
            continue
        # What says that it is not fresh claims nothing of its content.
        values = (read.title, None if read.sources else read.content, read.status)
        claim = claims.setdefault(read.version, [None, None, None])
        for index, value in enumerate(values):
            if value is None:
                continue
            if claim[index] is None:
                claim[index], witnesses[read.version, index] = value, read
            elif claim[index] != value:
                say(TORN, f"version {read.version} was read as {claim[index]!r} and as {value!r}: {witnesses[read.version, index]} {read}")
    return claims


def check_tokens(beat, say):
    """What is read was written: by a write that was not refused."""
    core = {write.token: write for write in beat.writes if write.kind in CORE}
    content = {write.token: write for write in beat.writes if write.kind in CONTENT}
    for read in beat.reads:
        for token, known in ((read.title, core), (read.content, content)):
            if token is None:
                continue
            if token not in known:
                say(PHANTOM, f"{token!r} was never written: {read}")
            elif known[token].outcome == REFUSED:
                say(PHANTOM, f"{token!r} was refused with {known[token].status}: {read}")


def check_changes(beat, say):
    """The version history has each acknowledged change of the content once, and none that was refused."""
    if beat.changes is None:
        return
    counts, written = defaultdict(int), {write.token: write for write in beat.writes if write.kind in CONTENT}
    for _, token in beat.changes:
        counts[token] += 1
    for token, count in counts.items():
        if token not in written:
            say(PHANTOM, f"the version history has {token!r}, which was never written")
        elif written[token].outcome == REFUSED:
            say(PHANTOM, f"the version history has {token!r}, which was refused with {written[token].status}")
        if count > 1:
            say(PHANTOM, f"the version history has {token!r} {count} times")
    for token, write in written.items():
        if write.outcome == ACKNOWLEDGED and not counts[token]:
            say(LOST, f"the version history lacks {token!r}, which was acknowledged: {write}")
    versions = [version for version, _ in beat.changes]
    if versions != sorted(set(versions)):
        say(PHANTOM, f"the version history is out of order: {beat.changes}")


def exact(beat):
    """The versions of those writes that leave no doubt, by token."""
    versions = {token: version for version, token in beat.changes or ()}
    for write in beat.writes:
        if write.outcome != ACKNOWLEDGED or write.kind not in CORE | CONTENT:
            continue
        if write.kind == "create":
            versions.setdefault(write.token, 1)
        elif write.if_match is not None:
            versions.setdefault(write.token, write.if_match + 1)
    return versions


def check_versions(beat, say):
    """No two acknowledged writes made the same version: one of them would be lost."""
    owners = {}
    for write in beat.writes:
        if write.outcome != ACKNOWLEDGED or write.if_match is None or write.kind in ("delete", "publish", "unpublish", "archive"):
            continue
        other = owners.setdefault(write.if_match, write)
        if other is not write:
            say(LOST, f"two writes of version {write.if_match} were acknowledged: {other} {write}")


def check_pairs(beat, say):
    """Core and content of one answer are of one version, as far as their writes leave no doubt."""
    versions = exact(beat)
    kinds = {write.token: write.kind for write in beat.writes}
    made = {
        part: sorted((version, token) for token, version in versions.items() if kinds.get(token) in part) for part in (CORE, CONTENT)
    }
    for read in beat.reads:
        if read.version is None:
            continue
        for name, token, part in (("core", read.title, CORE), ("content", read.content, CONTENT)):
            if token not in versions or (part is CONTENT and dict(read.sources).get("postgres")):
                continue
            if versions[token] > read.version:
                say(TORN, f"version {read.version} shows the {name} of version {versions[token]}: {read}")
            is_excused = part is CONTENT and read.sources
            newer = bisect.bisect_right(made[part], (read.version, "\uffff")) - 1
            if not is_excused and newer >= 0 and made[part][newer][0] > versions[token]:
                say(TORN, f"version {read.version} shows the {name} of {versions[token]}, not of {made[part][newer]}: {read}")


def check_final(beat, say):
    """What was acknowledged is there in the end, and what was deleted is not."""
    finals = [read for read in beat.reads if read.how == "final"]
    deletes = [write for write in beat.writes if write.kind == "delete" and write.outcome != REFUSED]
    newest = max((read.version for read in beat.reads if read.version is not None), default=0)
    for read in finals:
        if read.version is None and not deletes:
            say(LOST, f"it is gone, and nobody deleted it: {read}")
        if read.version is not None and any(write.outcome == ACKNOWLEDGED for write in deletes):
            say(LOST, f"it was deleted, and is there: {read}")
        if read.version is not None and read.version < newest:
            say(LOST, f"version {newest} was shown, and in the end there is {read.version}: {read}")
        if read.sources:
            say(LOST, f"in the end it is still not whole: {read}")


def check_times(beat, disturbances, say):
    """Nobody is shown what is too old for them; and what one client sees at one instance never goes back."""
    acknowledged = Shown([read for read in beat.reads if read.how == "answer"])
    seen = Shown([read for read in beat.reads if read.how != "answer"])
    for read in beat.reads:
        if read.version is None:
            continue
        cut = read.began if read.is_strict else disturbances.cut(read.began)
        if read.version < read.floor:
            say(STALE, f"asked for {read.floor} at least: {read}")
        for kind, events in ((STALE, acknowledged), (REGRESSED, seen)):
            version, when = events.by(cut)
            if read.version < version:
                what = "acknowledged" if kind == STALE else "shown"
                say(kind, f"version {version} was {what} {(read.began - when) * 1000:.0f} ms before: {read}")
                break
    check_sessions(beat, say)


def check_sessions(beat, say):
    """What one client sees at one instance never goes back."""
    sessions = defaultdict(list)
    for read in beat.reads:
        if read.version is not None and read.where != "balancer":
            sessions[read.client, read.where].append(read)
    for reads in sessions.values():
        shown = Shown(reads)
        for read in reads:
            version, when = shown.by(read.began)
            if read.version < version:
                say(REGRESSED, f"the same client was shown {version} there {(read.began - when) * 1000:.0f} ms before: {read}")


def check_absence(beat, found, disturbances, say):
    """A beat is missing only where it may be: not published to its readers, deleted to its owner."""
    deletes = [write for write in beat.writes if write.kind == "delete" and write.outcome != REFUSED]
    deleted = min((write.ended for write in deletes if write.outcome == ACKNOWLEDGED), default=float("inf"))
    shown = Shown(beat.reads)
    # A list lacks what is still on its way to the search index. Its writer was not answered, or was told so.
    indexed = Shown([read for read in beat.reads if read.how == "answer" and not read.sources])
    created = min((read.ended for read in beat.reads if read.version is not None), default=float("inf"))
    for read in beat.reads:
        cut = read.began if read.is_strict else disturbances.cut(read.began)
        if read.version is not None:
            if deleted <= cut:
                say(STALE, f"it was deleted {(read.began - deleted) * 1000:.0f} ms before: {read}")
            continue
        if any(write.began <= read.ended for write in deletes) or created > cut:
            continue
        if read.is_owner:
            say(STALE, f"its owner was told that there is none: {read}")
            continue
        if found is None:
            continue
        states, writes = found
        oldest = max(1, (indexed if read.is_of_index else shown).by(cut)[0])
        possible = [
            version for version in range(oldest, len(states) + 1) if version == oldest or writes[version - 1].began <= read.ended
        ]
        if all(states[version - 1].status == "published" for version in possible):
            say(STALE, f"it was published, and a reader was told that there is none: {read}")


def lags(beat, disturbances):
    """(seconds since a newer version was acknowledged, whether in a disturbance) of each read that showed an older one."""
    answers = Shown([read for read in beat.reads if read.how == "answer"])
    result = []
    for read in beat.reads:
        if read.version is None:
            continue
        newer = bisect.bisect_right(answers.versions, read.version)
        since = answers.times[newer] if newer < len(answers.times) else read.began
        if since < read.began:
            result.append((read.began - since, disturbances.covers(read.began) or disturbances.covers(since)))
    return result
