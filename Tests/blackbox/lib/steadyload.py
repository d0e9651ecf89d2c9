"""Steady writes and reads of beats, by clients that remember what was acknowledged."""

import asyncio
import os
import random
import time
from collections import Counter

from client import Connection

GATEWAY = int(os.environ["KABABEAT_HTTP_PORT"])
PAUSE = 0.03  # seconds between two requests of one client
DEADLINE = 5.5  # what the gateway promises for a whole answer, and what two cores shared by seven servers may add
QUIET = 2.0  # everything has resumed when nothing was refused for so long
KINDS = ("acknowledged", "in both", "answered", "whole", "lists")


class Beat:
    """What its writer knows: the version that was acknowledged, its title, and the titles that may have been written since."""

    def __init__(self, answer, title):
        self.id, self.version, self.title, self.maybe = answer["id"], answer["version"], title, set()
        self.is_published, self.writes, self.is_changing = False, 0, False


class Load:
    def __init__(self, failures, token):
        self.failures, self.token = failures, token
        self.beats = []
        self.is_running = True
        self.phase = "before"
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.writing = 0
        # Since when the fault is there: what was asked before says nothing of it.
        self.since = 0.0
        # When something last was not as it should be, and since when it has been, by what it is.
        self.last_failed, self.fine_since = {}, {}
        self.counts = Counter()

    def note(self, kind, asked, is_fine):
        if asked < self.since:
            return
        if is_fine:
            self.fine_since.setdefault(kind, time.monotonic())
        else:
            self.last_failed[kind] = time.monotonic()
            self.fine_since.pop(kind, None)

    def begin(self, phase):
        self.phase, self.since = phase, float("inf")

    def faulted(self):
        """From here on the answers count."""
        if self.since == float("inf"):
            self.since, self.last_failed, self.fine_since = time.monotonic(), {}, {}

    async def pause(self):
        """Returns when nothing is being written."""
        self.may_write.clear()
        while self.writing:
            await asyncio.sleep(0.01)

    async def call(self, connection, method, path, body=None):
        fields = {"Authorization": f"Bearer {self.token}"} if method != "GET" else {"Cache-Control": "no-cache"}
        try:
            answer = await asyncio.wait_for(connection.send(method, path, body, fields), 3 * DEADLINE)
        except (OSError, EOFError, TimeoutError) as error:
            self.failures.add(f"{self.phase}: every request is answered", f"{method} {path}: {error!r}")
            connection.close()
            return None
        self.counts[answer.status] += 1
        example = f"{method} {path} {answer.status} {answer.seconds:.2f} s {answer.body[:300]!r}"
        if answer.seconds > DEADLINE:
            self.failures.add(f"{self.phase}: every request is answered within its deadline", example)
        if answer.status not in (200, 201, 503):
            self.failures.add(f"{self.phase}: every answer is 200, 201 or 503", example)
            return None
        if answer.status == 503 and (answer.json.get("code") not in ("store_unavailable", "overloaded") or "retry-after" not in answer.fields):
            self.failures.add(f"{self.phase}: every 503 names its reason and when to come back", example)
        return answer

    async def write(self, connection, method, path, body=None):
        """The answer, if it was acknowledged."""
        asked = time.monotonic()
        answer = await self.call(connection, method, path, body)
        is_acknowledged = answer is not None and answer.status != 503
        self.note("acknowledged", asked, is_acknowledged)
        self.note("in both", asked, is_acknowledged and "sources" not in answer.json)
        return answer.json if is_acknowledged else None

    async def writer(self, number):
        connection, made, beat = Connection(GATEWAY), 0, None
        while self.is_running:
            await self.may_write.wait()
            made += 1
            self.writing += 1
            if beat is None or made % 5 == 1:
                beat = await self.make(connection, f"Replica {number}.{made}")
            else:
                await self.change(connection, beat, f"Replica {number}.{made}")
            self.writing -= 1
            await asyncio.sleep(PAUSE * (0.5 + random.random()))
        connection.close()

    async def make(self, connection, title):
        body = {"title": title, "currency": "USD", "licenseTypes": {"basic": 10.00}, "metadata": {"bpm": 120, "genre": "House"}}
        made = await self.write(connection, "POST", "/api/beats", body)
        if not made:
            return None
        beat = Beat(made, title)
        published = await self.write(connection, "POST", f"/api/beats/{beat.id}/publish")
        if published:
            beat.version, beat.is_published = published["version"], True
        self.beats.append(beat)
        return beat

    async def change(self, connection, beat, title):
        beat.maybe.add(title)
        beat.writes, beat.is_changing = beat.writes + 1, True
        changed = await self.write(connection, "PATCH", f"/api/beats/{beat.id}", {"title": title})
        beat.is_changing = False
        if changed:
            if changed["title"] != title:
                self.failures.add(f"{self.phase}: a write shows what was written", f"{changed} for {title}")
            beat.version, beat.title, beat.maybe = changed["version"], title, set()

    async def reader(self, number):
        connection = Connection(GATEWAY)
        while self.is_running:
            asked = time.monotonic()
            shown = [beat for beat in random.sample(self.beats, min(3, len(self.beats))) if beat.is_published]
            if number == 0:
                answer = await self.call(connection, "GET", "/api/beats?limit=10&genre=House")
                self.note("lists", asked, answer is not None and answer.status == 200)
                if answer and answer.status == 200 and self.beats and not answer.json["items"]:
                    self.failures.add(f"{self.phase}: no list is empty", answer.body)
            elif shown:
                beat, version, writes, was_changing = shown[0], shown[0].version, shown[0].writes, shown[0].is_changing
                answer = await self.call(connection, "GET", f"/api/beats/{beat.id}")
                is_answered = answer is not None and answer.status == 200
                self.note("answered", asked, is_answered)
                # What is just being written may be said to be on its way.
                if not is_answered or not (was_changing or beat.writes > writes):
                    self.note("whole", asked, is_answered and "sources" not in answer.json)
                if is_answered:
                    self.check(answer.json, beat, version)
            await asyncio.sleep(PAUSE * (0.5 + random.random()))
        connection.close()

    def check(self, body, beat, version):
        if body["version"] < version:
            self.failures.add(f"{self.phase}: nobody reads a version older than one acknowledged", f"{body} instead of version {version}")
        if "sources" not in body and body["metadata"].get("bpm") != 120:
            self.failures.add(f"{self.phase}: what is missing is said", f"{body}")

    async def settle(self, limit):
        """Waits until nothing has failed for a while; false where that takes longer than `limit`."""
        end = time.monotonic() + limit + QUIET
        while time.monotonic() < end:
            if all(kind in self.fine_since and time.monotonic() - self.last_failed.get(kind, 0) > QUIET for kind in KINDS):
                return True
            await asyncio.sleep(0.05)
        return False
