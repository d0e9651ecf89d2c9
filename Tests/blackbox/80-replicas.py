"""The load and the checks of 80-replicas.sh: 80-replicas.py DIRECTORY ELECTION_MILLISECONDS."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter

from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from client import Connection, get_once  # noqa: E402

DIRECTORY, ELECTION = sys.argv[1], int(sys.argv[2]) / 1000
GATEWAY = int(os.environ["KABABEAT_HTTP_PORT"])
DATABASE = os.environ["KABABEAT_POSTGRES_DATABASE"]
REPLICA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "replica")
WRITERS, READERS = 6, 6
PAUSE = 0.03  # seconds between two requests of one client
DEADLINE = 5.5  # what the gateway promises for a whole answer, and what two cores shared by seven servers may add
QUIET = 2.0  # everything has resumed when nothing was refused for so long
KINDS = ("acknowledged", "in both", "answered", "whole", "lists")
PASSWORD = "copper lantern 83"
# What may come on top of the servers' own time: noticing (a driver's look at each server every 2 s, a call that waits 2 s for an answer),
# the wait before the next attempt (2 s), and the machine.
SLACK = 6.0
# A delivery that began before there was a majority to acknowledge it gives up after so long, and is then put off.
MAJORITY = 4.0
# How long nothing can be acknowledged because the standby does not answer.
STANDBY_AWAY = 3.0
# A Postgres that is silent, and not just gone: 5 s until its connections are given up, 5 s for an attempt to open one in vain.
SILENCE = 10.0


class Failures:
    def __init__(self):
        self.counts, self.examples = Counter(), {}

    def add(self, rule, example):
        self.counts[rule] += 1
        self.examples.setdefault(rule, example)

    def end(self):
        for rule, count in self.counts.items():
            print(f"  not ok: {rule} ({count} times), such as {self.examples[rule]}")
        return 1 if self.counts else 0


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


async def replica(*arguments):
    process = await asyncio.create_subprocess_exec(REPLICA, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
    await process.communicate()
    if process.returncode:
        sys.exit(f"not ok: {' '.join(arguments)} failed")


def port(node):
    with open(os.path.join(DIRECTORY, f"{node}.port")) as file:
        return int(file.read())


def sql(node, text, database=DATABASE):
    with open(os.path.join(DIRECTORY, "postgres1", "password")) as file:
        environment = os.environ | {"PGPASSWORD": file.read().strip()}
    server = f"host=127.0.0.1 port={port(node)} user=postgres dbname={database}"
    command = ["psql", "-qXAt", "--set", "ON_ERROR_STOP=1", "--command", text, server]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


class Mongos:
    """The three servers, each asked by itself."""

    NODES = ["mongo1", "mongo2", "mongo3"]

    def __init__(self):
        self.clients = {
            node: MongoClient(f"mongodb://127.0.0.1:{port(node)}/?directConnection=true", serverSelectionTimeoutMS=300, socketTimeoutMS=300)
            for node in self.NODES
        }
        self.all = MongoClient(os.environ["KABABEAT_MONGO_URI"], serverSelectionTimeoutMS=20_000)

    def hello(self, node):
        try:
            return self.clients[node].admin.command("hello")
        except PyMongoError:
            return {}

    async def primary(self, besides=None):
        """The primary's name, once there is one."""
        end = time.monotonic() + 40
        while time.monotonic() < end:
            for node in self.NODES:
                if node != besides and (await asyncio.to_thread(self.hello, node)).get("isWritablePrimary"):
                    return node
            await asyncio.sleep(0.02)
        sys.exit("not ok: the replica set has no primary")

    async def acknowledges(self, primary):
        """Returns once a majority has acknowledged a write to that primary."""
        probe = self.clients[primary].get_database("probe", write_concern=WriteConcern("majority", j=True, wtimeout=250)).probe
        end = time.monotonic() + 40
        while time.monotonic() < end:
            try:
                await asyncio.to_thread(probe.insert_one, {})
                return primary
            except PyMongoError:
                await asyncio.sleep(0.02)
        sys.exit("not ok: the replica set takes no writes")

    async def whole(self):
        end = time.monotonic() + 40
        while time.monotonic() < end:
            states = [await asyncio.to_thread(self.hello, node) for node in self.NODES]
            if sum(state.get("isWritablePrimary", False) for state in states) == 1 and sum(state.get("secondary", False) for state in states) == 2:
                return
            await asyncio.sleep(0.05)
        sys.exit("not ok: the replica set does not come together")


async def check_stores(load, failures, primary, mongos):
    """What was acknowledged is in both databases, and over HTTP."""
    name = load.phase
    known = [(beat.id, beat.version, beat.title, set(beat.maybe), beat.is_published) for beat in load.beats]
    end = time.monotonic() + 40
    while int(sql(primary, "SELECT count(*) FROM outbox WHERE state = 'pending' AND aggregate_type <> 'mail'")):
        if time.monotonic() > end:
            failures.add(f"{name}: what is pending is delivered", sql(primary, "SELECT * FROM outbox LIMIT 3"))
            break
        await asyncio.sleep(0.05)
    drained = time.monotonic() - end + 40
    rows = dict(line.split("|", 1) for line in sql(primary, "SELECT id, version || '|' || title FROM beats").splitlines())
    documents = {}
    database = mongos.all[os.environ["KABABEAT_MONGO_DATABASE"]]
    for document in database.beats.find({}, {"v": 1}):
        documents[str(document["_id"].as_uuid())] = document["v"]
    indexed = {str(document["_id"].as_uuid()) for document in database.search_index.find({"deleted": {"$exists": False}}, {"_id": 1})}
    for id, version, title, maybe, is_published in known:
        row = rows.get(id)
        if row is None:
            failures.add(f"{name}: every acknowledged beat is in Postgres", id)
            continue
        there, text = row.split("|", 1)
        if int(there) < version or (int(there) == version and text != title and text not in maybe):
            failures.add(f"{name}: every acknowledged version is in Postgres", f"{id} {row} instead of {version} {title}")
        if documents.get(id, 0) < version:
            failures.add(f"{name}: every acknowledged version is in MongoDB", f"{id} {documents.get(id)} instead of {version}")
        if is_published and id not in indexed:
            failures.add(f"{name}: every published beat is in the search index", id)
    for id, version, *_ in random.sample([beat for beat in known if beat[4]], min(20, len(known) // 2)):
        answer = await get_once(GATEWAY, f"/api/beats/{id}")
        if answer.status != 200 or answer.json["version"] < version or "sources" in answer.json:
            failures.add(f"{name}: every acknowledged version is served", f"{answer.status} {answer.body[:300]!r} instead of {version}")
    return drained, len(known)


async def verify(failures, name):
    process = await asyncio.create_subprocess_exec(
        os.environ["KABABEAT_BINARY"], "verify", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    if process.returncode:
        failures.add(f"{name}: kababeat verify finds nothing", output.decode()[-1000:])


async def walk(load, failures, mongos, name, primary, limit, fault, afterwards=None, unharmed=()):
    """One case: the fault, the servers' own recovery, the gateway's, and then the state of both databases. `fault` returns once the
    servers have recovered, and `limit` is what the gateway may take, from the fault on, besides. What is `unharmed` does not fail at all."""
    load.begin(name)
    began = time.monotonic()
    new = await fault()
    recovered = time.monotonic() - began
    if not await load.settle(limit):
        failures.add(f"{name}: writes and reads resume", f"last failed {load.last_failed}, fine since {load.fine_since}, began {began}")
    # Nothing that failed or was late: no time at all.
    times = {kind: load.fine_since.get(kind, float("inf")) - began if kind in load.last_failed else 0.0 for kind in KINDS}
    for kind, seconds in times.items():
        if seconds > recovered + limit or (seconds and kind in unharmed):
            failures.add(f"{name}: {kind} within {recovered:.1f} s + {limit:.1f} s", f"{seconds:.1f} s")
    if afterwards:
        await afterwards()
    await load.pause()
    drained, beats = await check_stores(load, failures, new if new in ("postgres1", "postgres2") else primary, mongos)
    await verify(failures, name)
    load.may_write.set()
    print(f"    {name:34}" + "".join(f"{cell:14.1f}" for cell in [recovered, *times.values(), drained]) + f"{beats:9}", flush=True)


async def main():
    failures, mongos = Failures(), Mongos()
    token = await sign_up()
    load = Load(failures, token)
    tasks = [asyncio.create_task(load.writer(number)) for number in range(WRITERS)]
    tasks += [asyncio.create_task(load.reader(number)) for number in range(READERS)]
    await asyncio.sleep(2)
    if not await load.settle(5):
        failures.add("before: everything is answered", f"{load.last_failed}")
    heads = "".join(f"{head:>14}" for head in ("servers", *KINDS, "drained"))
    print(f"    {'seconds from the fault until':34}{heads}    beats", flush=True)

    async def mongo_gone(action):
        old = await mongos.primary()
        await replica(action, old)
        load.faulted()
        mongo_gone.old = old
        return await mongos.acknowledges(await mongos.primary(besides=old))

    async def mongo_back(action):
        await replica(action, mongo_gone.old)
        await mongos.whole()

    async def stepped_down():
        old = await mongos.primary()
        try:
            await asyncio.to_thread(mongos.clients[old].admin.command, {"replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 2})
        except PyMongoError as error:
            print(f"    {error}")
        load.faulted()
        return await mongos.acknowledges(await mongos.primary(besides=old))

    async def postgres(*steps, new):
        for step in steps:
            await replica(*step)
            load.faulted()
        # Answered once the standby has it, where there is one.
        await asyncio.to_thread(sql, new, "INSERT INTO probe DEFAULT VALUES", "postgres")
        return new

    one, two = "postgres1", "postgres2"
    sql(one, "CREATE TABLE probe (at timestamptz DEFAULT now())", "postgres")
    await walk(load, failures, mongos, "MongoDB: primary killed", one, SLACK, lambda: mongo_gone("kill"), lambda: mongo_back("start"))
    await walk(load, failures, mongos, "MongoDB: primary frozen", one, SLACK + MAJORITY, lambda: mongo_gone("freeze"), lambda: mongo_back("thaw"))
    await walk(load, failures, mongos, "MongoDB: primary stepped down", one, SLACK, stepped_down, mongos.whole)
    await walk(load, failures, mongos, "Postgres: primary restarted", one, SLACK, lambda: postgres(("restart", one), new=one))

    async def standby_away():
        await replica("freeze", two)
        load.faulted()
        await asyncio.sleep(STANDBY_AWAY)
        await replica("thaw", two)
        await asyncio.to_thread(sql, one, "INSERT INTO probe DEFAULT VALUES", "postgres")
        return one

    await walk(load, failures, mongos, "Postgres: standby frozen for 3 s", one, SLACK, standby_away,
               unharmed=("answered",))
    await walk(load, failures, mongos, "Postgres: killed, standby promoted", one, SLACK,
               lambda: postgres(("kill", one), ("promote", two), new=two))
    # The old primary stands second in the list, and is a standby from here on.
    await replica("follow", one, two)

    async def cut():
        sql(two, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'kababeat_gateway'")
        load.faulted()
        return two

    await walk(load, failures, mongos, "Postgres: all connections cut", two, SLACK, cut)
    await walk(load, failures, mongos, "Postgres: frozen, standby promoted", two, SLACK + SILENCE,
               lambda: postgres(("freeze", two), ("promote", one), new=one), lambda: replica("kill", two))
    load.is_running = False
    await asyncio.wait_for(asyncio.gather(*tasks), 3 * DEADLINE)
    print(f"    answers: {', '.join(f'{count} × {status}' for status, count in sorted(load.counts.items()))}")
    sys.exit(failures.end())


async def sign_up():
    connection = Connection(GATEWAY)
    account = {"email": "replica@example.org", "username": "replica", "password": PASSWORD}

    async def call(path, body, token=None):
        answer = await connection.send("POST", path, body, {"Authorization": f"Bearer {token}"} if token else {})
        if answer.status not in (200, 201):
            sys.exit(f"not ok: {path} {answer.status} {answer.body!r}")
        return json.loads(answer.body)

    await call("/api/auth/register", account)
    token = (await call("/api/auth/login", {name: account[name] for name in ("email", "password")}))["accessToken"]
    await call("/api/users/me/creator", {}, token)
    token = (await call("/api/auth/login", {name: account[name] for name in ("email", "password")}))["accessToken"]
    connection.close()
    return token


asyncio.run(main())
