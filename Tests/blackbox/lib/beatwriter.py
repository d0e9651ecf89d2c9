"""Whoever writes beats until nobody answers, and remembers what was acknowledged; and what both databases make of it."""

import json
import os
import threading
import uuid
from dataclasses import dataclass, replace

from doomed import call
from postgres import sql
from pymongo import MongoClient

mongo = MongoClient(os.environ["KABABEAT_MONGO_URI"], uuidRepresentation="standard")[os.environ["KABABEAT_MONGO_DATABASE"]]


@dataclass(frozen=True)
class State:
    """A beat as its writer knows it. `contents` are the versions in which the content was changed: the history that it must have."""

    title: str
    bpm: int
    status: str = "draft"
    version: int = 1
    contents: tuple[int, ...] = (1,)

    def moved(self, **changes):
        return replace(self, version=self.version + 1, **changes)


class Beat:
    """What its writer has been told of one beat, and what was under way when nobody answered any more."""

    def __init__(self, title):
        self.id, self.known, self.under_way = None, None, State(title, 100)

    @property
    def possible(self):
        return [state for state in (self.known, self.under_way) if state]


def a_beat(title):
    return {"title": title, "licenseTypes": {"basic": 9.99}, "metadata": {"bpm": 100, "genre": "House"}}


def request(beat, step):
    """What is asked for in a step, and what the beat is to be then."""
    state, path = beat.known, f"/api/beats/{beat.id}"
    match step:
        case "create":
            return ("POST", "/api/beats", a_beat(beat.under_way.title)), beat.under_way
        case "content":
            bpm = state.bpm + 1
            return ("PATCH", path, {"metadata": {"bpm": bpm}}), state.moved(bpm=bpm, contents=(*state.contents, state.version + 1))
        case "core":
            title = state.title + " again"
            return ("PATCH", path, {"title": title}), state.moved(title=title)
        case "publish":
            return ("POST", path + "/publish", None), state.moved(status="published")
        case "unpublish":
            return ("POST", path + "/unpublish", None), state.moved(status="draft")
        case "delete":
            return ("DELETE", path, None), state.moved(status="deleted")


LIFE = ["create", "content", "publish", "content", "core", "unpublish", "publish", "content", "delete"]


class Writer(threading.Thread):
    """Makes beats and leads each through its life, one step after the other, until nobody answers or it has made `most`."""

    def __init__(self, token, name, most=20):
        super().__init__()
        self.token, self.most, self.name, self.beats, self.complaint = token, most, name, [], None

    def run(self):
        try:
            while len(self.beats) < self.most:
                beat = Beat(f"{self.name} {len(self.beats)}")
                self.beats.append(beat)
                if not all(self.take(beat, step) for step in LIFE):
                    return
        except Exception as error:  # noqa: BLE001: told by whoever waits for this thread
            self.complaint = error

    def take(self, beat, step):
        (method, path, body), beat.under_way = request(beat, step)
        answer = call(method, path, body, self.token)
        if answer is None:
            return False
        shown = answer.expect(201 if step == "create" else 204 if step == "delete" else 200)
        beat.id = beat.id or shown["id"]
        assert step == "delete" or shown["version"] == beat.under_way.version, f"{step}: {shown} instead of {beat.under_way}"
        beat.known, beat.under_way = beat.under_way, None
        # By anybody, so that every cache has it when it changes.
        call("GET", f"/api/beats/{beat.id}")
        return True


def outcomes(beats, token):
    """What became of what was under way, `complete` or `undone`, of each. Fails where anything that was acknowledged is not there, where
    a database has half of a change, or where anybody is shown an older state."""
    found = []
    for beat in beats:
        state = present(beat)
        if beat.under_way:
            found.append("complete" if state == beat.under_way else "undone")
        if state:
            coherent(beat.id, state, token)
    return found


def present(beat):
    """The state that Postgres has the beat in; one of those that are possible, or none for one that was never made."""
    if beat.id is None:
        beat.id = sql(f"SELECT id FROM beats WHERE title = '{beat.under_way.title}'") or None
        if beat.id is None:
            return None
    row = json.loads(
        sql(
            f"""SELECT json_build_object('title', title, 'version', version, 'status', status, 'deleted', deleted_at IS NOT NULL,
                    'staged', (SELECT count(*) FROM beat_content_staged WHERE beat_id = '{beat.id}'),
                    'outbox', (SELECT count(*) FROM outbox WHERE aggregate_id = '{beat.id}'))
                FROM beats WHERE id = '{beat.id}'"""
        )
    )
    assert row["staged"] == row["outbox"] == 0, f"something of {beat.id} is left on its way: {row}"
    for state in beat.possible:
        status = "deleted" if row["deleted"] else row["status"]
        if (row["title"], row["version"], status) == (state.title, state.version, state.status):
            return state
    raise AssertionError(f"{beat.id} is {row}, which is none of {beat.possible}")


def coherent(beat, state, token, artist=None):
    """Holds both databases, the caches and the API to one state of a beat."""
    key = uuid.UUID(beat)
    document, row = mongo.beats.find_one({"_id": key}), mongo.search_index.find_one({"_id": key})
    is_deleted, is_published = state.status == "deleted", state.status == "published"
    assert document and document["v"] == state.version and document.get("deleted", False) == is_deleted, f"beats: {document}, {state}"
    assert is_deleted or document["metadata"]["bpm"] == state.bpm, f"beats: {document}, {state}"
    # What was never published has no row there, not even one that says so.
    was_published = sql(f"SELECT published_at IS NOT NULL FROM beats WHERE id = '{beat}'") == "t"
    assert (row is not None) == was_published, f"search_index: {row}, {state}"
    assert not row or row["v"] == state.version and row.get("deleted", False) != is_published, f"search_index: {row}, {state}"
    assert not is_published or (row["title"], row["bpm"]) == (state.title, state.bpm), f"search_index: {row}, {state}"
    assert not (is_published and artist) or row["artistName"] == artist, f"search_index: {row}, {artist}"
    entries = [entry["v"] for bucket in mongo.beat_versions.find({"_id.beatId": key}) for entry in bucket["changes"]]
    assert sorted(entries) == list(state.contents), f"the history of {beat} is {entries}, not {state.contents}"

    path = f"/api/beats/{beat}"
    for reader in (None, token):
        answer = call("GET", path, token=reader)
        if is_published or (reader and not is_deleted):
            shown = answer.expect(200)
            assert "sources" not in shown, shown
            seen = (shown["title"], shown["metadata"]["bpm"], shown["version"], shown["status"])
            assert seen == (state.title, state.bpm, state.version, state.status), f"{seen} instead of {state}"
            assert not artist or shown["creator"]["displayName"] == artist, shown
        else:
            answer.expect(404)
    if not is_deleted:
        shown = call("GET", path + "/versions?limit=100", token=token).expect(200)["items"]
        assert [entry["version"] for entry in shown] == sorted(state.contents, reverse=True), shown
